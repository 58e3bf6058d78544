"""The directions in which an adapter with fixed bases can change a layer, found before its training.

    G = d loss / d W0 = sum over tokens of dy x^T,   G = U S V^T,   C = (V_1 .. V_r)^T,   E = (U_1 .. U_r)

Then the gradient with respect to K, at K = 0, is alpha / r times the r x r block of G that holds the most of it. Fixed
bases of W0's own singular directions ("weight") are LoRA-XS's (arXiv 2405.17604), here without its singular values; the
gradient's are LoRA-GA's start of trained maps (arXiv 2407.05000), and LoRA-SB (arXiv 2411.19557) fixes bases that
approximate the first update, with another start of K.

G is never formed. Each layer adds up two products with random matrices while the batches go by, and G is rebuilt from
these (the one-pass sketch of Tropp, Yurtsever, Udell and Cevher, arXiv 1609.00048): memory for 12 r numbers of each
input and output of a layer, one pass over the batches, and nothing asked of the base layer, which may be quantized.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.basis_maps import BasisMap
from qweft.adapter.config import QwthnConfig
from qweft.adapter.layer import QwthnLinear
from qweft.errors import QweftError

OVERSAMPLING = 4
"""Columns of the sketch for each direction that is wanted; the sketch of the other side has twice as many."""
POWER_STEPS = 8
"""Of the decomposition of W0, whose singular values fall slowly."""
SEED = 20250312
"""Of the sketches' random matrices, so that the same batches give the same directions whatever was drawn before."""
IGNORED = -100
"""The label of a token without loss."""

Directions = tuple[torch.Tensor, torch.Tensor]
"""Orthonormal columns on the side of a layer's input, (d_in, r), and of its output, (d_out, r)."""


class GradientSketch:
    """Y = G Omega and Z = Psi G of one layer, added up token by token.

    Args:
        into: d_in.
        out: d_out.
        r: Directions wanted.
        device: Where it is added up.
        place: The layer's number in the model, by which Omega (d_in, k) and Psi (2 k, d_out) are drawn.
    """

    def __init__(self, into: int, out: int, r: int, device: torch.device, place: int):
        self.r = r
        k = min(OVERSAMPLING * r, into, out)
        generator = torch.Generator().manual_seed(SEED + place)
        self._omega = torch.randn(into, k, generator=generator).to(device)
        self._psi = torch.randn(2 * k, out, generator=generator).to(device)
        self._y, self._z = torch.zeros(out, k, device=device), torch.zeros(2 * k, into, device=device)

    @torch.no_grad()
    def add(self, x: torch.Tensor, dy: torch.Tensor) -> None:
        """Inputs (..., d_in) of the layer and the loss's gradients with respect to its outputs (..., d_out)."""
        device = self._y.device
        x, dy = (rows.reshape(-1, rows.shape[-1]).to(device, torch.float32) for rows in (x, dy))
        self._y += dy.T @ (x @ self._omega)
        self._z += (dy @ self._psi.T).T @ x

    def directions(self) -> Directions:
        """V (d_in, r) and U (d_out, r), the leading singular directions of G, on the CPU."""
        y, z, psi = (tensor.cpu().double() for tensor in (self._y, self._z, self._psi))
        frame = torch.linalg.qr(y).Q
        rest = torch.linalg.lstsq(psi @ frame, z).solution  # (k, d_in), G = frame rest
        left, _, right = torch.linalg.svd(rest, full_matrices=False)
        return right[: self.r].T.float(), (frame @ left[:, : self.r]).float()

    @property
    def is_finite(self) -> bool:
        """Whether the gradient was a number throughout."""
        return bool(torch.isfinite(self._y).all())

    @property
    def is_zero(self) -> bool:
        """Whether there was no gradient."""
        return not bool(self._y.any())


def find_bases(
    model: nn.Module,
    batches: Iterable[Mapping[str, Any]] | None = None,
    adapter_name: str = "default",
    again: bool = False,
) -> None:
    """Find the directions of an adapter's fixed bases; an adapter without any is left as it is.

    To be called once, after `get_peft_model` and before the first step, as `qweft train` and `qweft compare` do; in
    every process with the same batches.

        model = get_peft_model(base, QwthnConfig(compress="basis", core="linear", expand="basis", r=16))
        find_bases(model, [collate(rows[:32])])

    Args:
        model: The adapted model; its weights stay as they are.
        batches: What the model is called with, labels among it, so that it returns a mean loss over them; for the
            gradient's basis. A batch counts by its tokens with a label, so it does not matter how rows are batched.
        adapter_name: The adapter, and any other that shares its config object.
        again: Take new directions where there are some; what was trained in the old ones then means something else.

    Raises:
        QweftError: If there is no such adapter, if it has its directions, if the gradient is wanted and there is no
            batch, or if the loss is not a number or does not depend on a layer.
    """
    configs = getattr(model, "peft_config", {})
    if adapter_name not in configs:
        there = ", ".join(configs) or "none"
        raise QweftError(f"there is no adapter {adapter_name!r} on this model; there are: {there}")
    config = configs[adapter_name]
    if not isinstance(config, QwthnConfig) or not _has_basis(config):
        return
    if isinstance(batches, Mapping):
        raise QweftError("find_bases takes several batches, and was given one: put it into a list")
    layers = {
        name: m for name, m in model.named_modules() if isinstance(m, QwthnLinear) and adapter_name in m.qwthn_core
    }
    if not again and any(basis.is_found for layer in layers.values() for basis in _bases(layer, adapter_name)):
        raise QweftError(
            f"adapter {adapter_name!r} has its directions, and in others what it learned would mean something else; "
            "leave the call out, or pass again=True before anything is trained"
        )
    kind = config.basis or "gradient"
    if kind == "gradient":
        found = _of_gradients(model, layers, batches, adapter_name)
    else:
        find = _of_weight if kind == "weight" else _random
        found = {name: find(layer, layer.qwthn_r[adapter_name]) for name, layer in layers.items()}
    for each in [name for name, other in configs.items() if other is config]:
        for name, (into, out) in found.items():
            branch = layers[name].branch_of(each)
            for part, directions in ((branch.compress, into), (branch.expand, out)):
                if isinstance(part, BasisMap):
                    part.set(directions)


def without_bases(model: nn.Module) -> list[str]:
    """Names of the adapters that are to be trained and have a fixed basis whose directions are not there yet."""
    found: dict[str, None] = {}
    for layer in model.modules():
        if not isinstance(layer, QwthnLinear):
            continue
        for name in layer.qwthn_core:
            is_trained = any(tensor.requires_grad for tensor in layer.branch_of(name).tensors())
            if is_trained and not all(basis.is_found for basis in _bases(layer, name)):
                found[name] = None
    return list(found)


def _has_basis(config: QwthnConfig) -> bool:
    return "basis" in (config.compress, config.expand)


def _bases(layer: QwthnLinear, adapter_name: str) -> list[BasisMap]:
    branch = layer.branch_of(adapter_name)
    return [part for part in (branch.compress, branch.expand) if isinstance(part, BasisMap)]


def _of_gradients(
    model: Any, layers: Mapping[str, QwthnLinear], batches: Iterable[Mapping[str, Any]] | None, adapter_name: str
) -> dict[str, Directions]:
    sketches = {}
    for place, (name, layer) in enumerate(layers.items()):
        device = _bases(layer, adapter_name)[0].weight.device
        sketches[name] = GradientSketch(
            layer.in_features, layer.out_features, layer.qwthn_r[adapter_name], device, place
        )
    watch, count = _Watch(), 0
    for name, layer in layers.items():
        watch.look_at(layer.get_base_layer(), sketches[name])
    try:
        with _as_the_base_model(model), torch.enable_grad():
            for count, batch in enumerate(batches or (), 1):  # noqa: B007
                moved = {key: v.to(model.device) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}
                watch.backward(model(**moved).loss, _labelled(moved))
    finally:
        watch.stop()
    if not count:
        raise QweftError(
            "the directions of a basis 'gradient' are found on batches of what the adapter is to learn: give at least "
            "one, with labels, or choose basis 'weight'"
        )
    for name, sketch in sketches.items():
        if not sketch.is_finite or sketch.is_zero:
            what = "zero" if sketch.is_zero else "not a number"
            raise QweftError(
                f"the gradient of the loss at {name} is {what} on the batches given, so it has no directions; leave "
                "the layer out of target_modules, or give other batches"
            )
    return {name: sketches.pop(name).directions() for name in list(sketches)}


def _labelled(batch: Mapping[str, Any]) -> int:
    """Tokens that the loss of a causal model is the mean over: those with a label, the first of a row has none."""
    labels = batch.get("labels")
    return int((labels[..., 1:] != IGNORED).sum()) if isinstance(labels, torch.Tensor) else 1


@contextmanager
def _as_the_base_model(model: nn.Module) -> Iterator[None]:
    """Without adapters and without dropout; afterwards as it was, module by module."""
    training = [(module, module.training) for module in model.modules()]
    tuned = [m for m in model.modules() if isinstance(m, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    disabled: list[tuple[Any, bool]] = [(module, module._disable_adapters) for module in tuned]
    try:
        model.eval()
        for module in tuned:
            module._disable_adapters = True
        yield
    finally:
        for part, was in training:
            part.training = was
        for adapter, was in disabled:
            adapter._disable_adapters = was


class _Watch:
    """Hands inputs and output gradients of base layers to their sketches while a model runs forward and backward."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._leaves: dict[torch.device, torch.Tensor] = {}

    def look_at(self, base: nn.Module, sketch: GradientSketch) -> None:
        """Watch one layer."""

        def after(_: nn.Module, args: tuple[Any, ...], y: torch.Tensor) -> torch.Tensor:
            if y.device not in self._leaves:
                self._leaves[y.device] = torch.zeros((), device=y.device, dtype=torch.float32, requires_grad=True)
            x = args[0].detach()
            # nothing is trained yet, and there may be no graph: a zero that wants a gradient makes one
            y = y + self._leaves[y.device].to(y.dtype)
            y.register_hook(lambda dy: sketch.add(x, dy))
            return y

        self._handles.append(base.register_forward_hook(after))

    def backward(self, loss: torch.Tensor | None, weight: int) -> None:
        """Run back from a loss times a weight, leaving no gradient in any parameter."""
        if loss is None:
            raise QweftError("the model returned no loss for a batch; a batch needs labels")
        leaves = list(self._leaves.values())
        if not leaves or not loss.requires_grad:
            raise QweftError("the loss does not depend on any adapted layer, so it has no gradient there")
        torch.autograd.grad(loss * weight, leaves, allow_unused=True)

    def stop(self) -> None:
        """Leave the layers as they were."""
        for handle in self._handles:
            handle.remove()


@torch.no_grad()
def _of_weight(layer: QwthnLinear, r: int) -> Directions:
    weight = layer.get_base_weight().detach().float()
    if isinstance(layer.get_base_layer(), Conv1D):
        weight = weight.T
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        left, _, right = torch.svd_lowrank(weight.cpu(), q=min(2 * r + 8, *weight.shape), niter=POWER_STEPS)
    return right[:, :r], left[:, :r]


def _random(layer: QwthnLinear, r: int) -> Directions:
    into, out = (torch.linalg.qr(torch.randn(size, r)).Q for size in (layer.in_features, layer.out_features))
    return into, out
