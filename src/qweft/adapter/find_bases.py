"""Find the fixed directions of an adapter before training, from some batches of training data."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from qweft.adapter.config import QwthnConfig
from qweft.adapter.directions import GradientSketch, drawn, give, wanted_by
from qweft.adapter.layer import QwthnLinear
from qweft.adapter.maps import Directions
from qweft.core.errors import QweftError

IGNORED = -100
"""The label of a token without loss."""


def find_bases(
    model: nn.Module,
    batches: Iterable[Mapping[str, Any]] | None = None,
    adapter_name: str = "default",
    again: bool = False,
) -> None:
    """Find the directions of an adapter's fixed bases; an adapter without any is left unchanged.

    Call it once, after `get_peft_model` and before the first step, in every process with the same batches. `qweft
    train` and `qweft compare` do. Without this call the first backward pass finds the gradient's directions from its
    own batch alone (`qweft.adapter.directions`).

        model = get_peft_model(base, QwthnConfig(compress="basis", core="linear", expand="basis", r=16))
        find_bases(model, [collate(rows[:32])])

    Args:
        model: The adapted model; its weights do not change.
        batches: Keyword arguments for the model, with labels, so that it returns a mean loss; needed for the gradient's
            basis. A batch counts by its labelled tokens, so the split of rows into batches does not matter.
        adapter_name: Name of the adapter; other adapters with the same config object get the same directions.
        again: Whether to replace existing directions; parameters trained with the old ones then lose their meaning.

    Raises:
        QweftError: If the adapter does not exist or already has directions, if the gradient is needed and there is no
            batch, or if the loss is not finite or does not depend on a layer.
    """
    configs = getattr(model, "peft_config", {})
    if adapter_name not in configs:
        there = ", ".join(configs) or "none"
        raise QweftError(f"there is no adapter {adapter_name!r} on this model; there are: {there}")
    config = configs[adapter_name]
    if not isinstance(config, QwthnConfig) or not config.has_fixed_map:
        return
    if isinstance(batches, Mapping):
        raise QweftError("find_bases takes several batches, and was given one: put it into a list")
    layers = {
        name: m for name, m in model.named_modules() if isinstance(m, QwthnLinear) and adapter_name in m.qwthn_core
    }
    if not again and any(b.is_found for layer in layers.values() for b in layer.branch_of(adapter_name).bases):
        raise QweftError(
            f"adapter {adapter_name!r} has its directions, and in others what it learned would mean something else; "
            "leave the call out, or pass again=True before anything is trained"
        )
    kind = config.resolved().basis
    if kind == "gradient":
        found = _of_gradients(model, layers, batches, adapter_name)
    else:
        found = {
            name: layer.directions(kind, wanted_by(layer.branch_of(adapter_name))) for name, layer in layers.items()
        }
    for name, directions in found.items():
        for branch in layers[name].sharing(adapter_name):
            give(branch, directions)


def without_bases(model: nn.Module) -> list[str]:
    """Return the names of trained adapters with a fixed basis whose directions are still missing."""
    branches = [
        (name, m.branch_of(name)) for m in model.modules() if isinstance(m, QwthnLinear) for name in m.qwthn_core
    ]
    missing = (name for name, each in branches if not each.is_found and any(t.requires_grad for t in each.tensors()))
    return list(dict.fromkeys(missing))


def _of_gradients(
    model: Any, layers: Mapping[str, QwthnLinear], batches: Iterable[Mapping[str, Any]] | None, adapter_name: str
) -> dict[str, Directions]:
    sketches = {}
    for name, layer in layers.items():
        branch = layer.branch_of(adapter_name)
        device = branch.bases[0].weight.device
        sketches[name] = GradientSketch(layer.in_features, layer.out_features, wanted_by(branch), device)
    drawn.cache_clear()
    count, of_base = 0, {layer.get_base_layer(): sketches[name] for name, layer in layers.items()}
    place = getattr(model, "device", None) or next(model.parameters()).device  # a plain module has no `device`
    with _watching(of_base) as leaves, _as_the_base_model(model), torch.enable_grad():
        for count, batch in enumerate(batches or (), 1):  # noqa: B007
            moved = {key: v.to(place) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}
            _backward(model(**moved).loss, _labelled(moved), leaves.values())
    if not count:
        raise QweftError(
            "the directions of a basis 'gradient' are found on batches of what the adapter is to learn: give at least "
            "one, with labels, or choose basis 'weight'"
        )
    for name, sketch in sketches.items():
        if sketch.fault:
            raise QweftError(
                f"the gradient of the loss at {name} is {sketch.fault} on the batches given, so it has no directions; "
                "leave the layer out of target_modules, or give other batches"
            )
    return {name: sketches.pop(name).directions() for name in list(sketches)}


def _labelled(batch: Mapping[str, Any]) -> int:
    """Return how many labels the loss is a mean over; a causal model leaves out the first of each row."""
    labels = batch.get("labels")
    if not isinstance(labels, torch.Tensor):
        return 1
    has_rows = labels.dim() > 1 and labels.shape[-1] > 1
    return int(((labels[..., 1:] if has_rows else labels) != IGNORED).sum())


@contextmanager
def _as_the_base_model(model: nn.Module) -> Iterator[None]:
    """Disable adapters and dropout; restore the state of every module and parameter at the end."""
    training = [(module, module.training) for module in model.modules()]
    tuned = [m for m in model.modules() if isinstance(m, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    enabled = [module for module in tuned if not module.disable_adapters]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]

    def switch(on: bool) -> None:
        for module in enabled:
            module.enable_adapters(on)
        for parameter, was in trained:  # which PEFT changes
            parameter.requires_grad_(was)

    try:
        model.eval()
        switch(False)
        yield
    finally:
        for part, was in training:
            part.training = was
        switch(True)


@contextmanager
def _watching(sketches: Mapping[nn.Module, GradientSketch]) -> Iterator[dict[torch.device, torch.Tensor]]:
    """Pass inputs and output gradients of base layers to their sketches; yield the leaves of the graph by device."""
    leaves: dict[torch.device, torch.Tensor] = {}

    def after(base: nn.Module, args: tuple[Any, ...], y: torch.Tensor) -> torch.Tensor:
        if y.device not in leaves:
            leaves[y.device] = torch.zeros((), device=y.device, dtype=torch.float32, requires_grad=True)
        x, sketch = args[0].detach(), sketches[base]
        # there may be no graph, since nothing is trained: a zero that requires a gradient creates one
        y = y + leaves[y.device].to(y.dtype)
        y.register_hook(lambda dy: sketch.add(x, dy))
        return y

    handles = [base.register_forward_hook(after) for base in sketches]
    try:
        yield leaves
    finally:
        for handle in handles:
            handle.remove()


def _backward(loss: torch.Tensor | None, weight: int, leaves: Collection[torch.Tensor]) -> None:
    """Run backward from the loss times a weight, without leaving a gradient in any parameter."""
    if loss is None:
        raise QweftError("the model returned no loss for a batch; a batch needs labels")
    if not leaves or not loss.requires_grad:
        raise QweftError("the loss does not depend on any adapted layer, so it has no gradient there")
    torch.autograd.grad(loss * weight, list(leaves), allow_unused=True)
