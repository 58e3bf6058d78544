"""The directions in which an adapter with fixed bases can change a layer, found before its training.

    G = d loss / d W0 = sum over tokens of dy x^T,   G = U S V^T,   C = (V_1 .. V_r)^T,   E = U_1 .. U_r

Then the gradient with respect to K, at K = 0, is the r x r block of G that holds the most of it: no other choice of r
directions lets the first steps go further. That W0's own singular directions are taken ("weight") is LoRA-XS
(arXiv 2405.17604); that those of the gradient are, is in LoRA-GA (arXiv 2407.05000) as a start of trained maps, and in
LoRA-SB (arXiv 2411.19557) as fixed ones.

G is never formed. Each layer adds up two products with random matrices while the batches go by, and G is rebuilt from
these (Tropp, Yurtsever, Udell and Cevher, arXiv 1609.00048, algorithm 4): memory for (d_in + d_out) times a few r, one
pass over the batches, and nothing asked of the base layer, which may be quantized.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.basis_maps import BasisMap
from qweft.adapter.config import QwthnConfig
from qweft.adapter.layer import QwthnLinear
from qweft.errors import QweftError

OVERSAMPLING = 4
"""Columns of the sketch for each direction that is wanted; the sketch of the other side has twice as many."""
SEED = 20250312
"""Of the random matrices, so that the same batches give the same directions whatever was drawn before."""


def _generator(place: int) -> torch.Generator:
    return torch.Generator().manual_seed(SEED + place)


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
        generator = _generator(place)
        self._omega = torch.randn(into, k, generator=generator).to(device)
        self._psi = torch.randn(2 * k, out, generator=generator).to(device)
        self._y, self._z = torch.zeros(out, k, device=device), torch.zeros(2 * k, into, device=device)

    @torch.no_grad()
    def add(self, x: torch.Tensor, dy: torch.Tensor) -> None:
        """Inputs (..., d_in) of the layer and the loss's gradients with respect to its outputs (..., d_out)."""
        x, dy = x.reshape(-1, x.shape[-1]).float(), dy.reshape(-1, dy.shape[-1]).float()
        self._y += dy.T @ (x @ self._omega)
        self._z += (dy @ self._psi.T).T @ x

    def directions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """V (d_in, r) and U (d_out, r), the leading singular directions of G."""
        frame = torch.linalg.qr(self._y.double()).Q
        rest = torch.linalg.lstsq(self._psi.double() @ frame, self._z.double()).solution  # (k, d_in), G = frame rest
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


def find_bases(model: Any, batches: Iterable[Mapping[str, Any]] | None = None, adapter_name: str = "default") -> None:
    """Find the directions of an adapter's fixed bases; an adapter without any is left as it is.

    To be called once, after `get_peft_model` and before the first step, as `qweft train` and `qweft compare` do.

        model = get_peft_model(base, QwthnConfig(compress="basis", core="linear", expand="basis", r=16))
        find_bases(model, [collate(rows[:32])])

    Args:
        model: The adapted model; its weights stay as they are.
        batches: What the model is called with, labels among it, so that it returns a loss; for the gradient's basis.
        adapter_name: The adapter, and any other that shares its config object.

    Raises:
        QweftError: If there is no such adapter, if the gradient is wanted and there is no batch, or if the loss is not
            a number or does not depend on a layer.
    """
    configs = getattr(model, "peft_config", {})
    if adapter_name not in configs:
        raise QweftError(
            f"there is no adapter {adapter_name!r} on this model; there are: {', '.join(configs) or 'none'}"
        )
    config = configs[adapter_name]
    if not isinstance(config, QwthnConfig) or "basis" not in (config.compress, config.expand):
        return
    layers = {
        name: m for name, m in model.named_modules() if isinstance(m, QwthnLinear) and adapter_name in m.qwthn_core
    }
    kind = config.basis or "gradient"
    names = [name for name, other in configs.items() if other is config]
    if kind == "gradient":
        found = _of_gradients(model, layers, batches, adapter_name)
    else:
        find = _of_weight if kind == "weight" else _random
        found = {
            name: find(layer, layer.qwthn_r[adapter_name], place) for place, (name, layer) in enumerate(layers.items())
        }
    for name, (into, out) in found.items():
        for each in names:
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
            branch = layer.branch_of(name)
            bases = [part for part in (branch.compress, branch.expand) if isinstance(part, BasisMap)]
            if any(not basis.is_found for basis in bases) and any(t.requires_grad for t in branch.tensors()):
                found[name] = None
    return list(found)


Directions = tuple[torch.Tensor, torch.Tensor]
"""Orthonormal columns on the side of a layer's input, (d_in, r), and of its output, (d_out, r)."""


def _of_gradients(
    model: Any, layers: Mapping[str, QwthnLinear], batches: Iterable[Mapping[str, Any]] | None, adapter_name: str
) -> dict[str, Directions]:
    sketches = {
        name: GradientSketch(layer.in_features, layer.out_features, layer.qwthn_r[adapter_name], _device(layer), place)
        for place, (name, layer) in enumerate(layers.items())
    }
    watched = _Watch()
    for name, layer in layers.items():
        watched.look_at(layer.get_base_layer(), sketches[name])
    was_training, count = model.training, 0
    model.eval()
    try:
        with model.disable_adapter(), torch.enable_grad():
            for count, batch in enumerate(batches or (), 1):  # noqa: B007
                moved = {key: v.to(model.device) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}
                watched.backward(model(**moved).loss)
    finally:
        watched.stop()
        model.train(was_training)
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
    return {name: sketch.directions() for name, sketch in sketches.items()}


class _Watch:
    """Hands inputs and output gradients of base layers to their sketches while a model runs forward and backward."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._leaves: list[torch.Tensor] = []

    def look_at(self, base: nn.Module, sketch: GradientSketch) -> None:
        """Watch one layer."""

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            x, *rest = args
            if not x.requires_grad:  # nothing is trained yet: without a leaf there would be no graph
                x = x.detach().requires_grad_()
                self._leaves.append(x)
            return (x, *rest)

        def after(_: nn.Module, args: tuple[Any, ...], y: torch.Tensor) -> None:
            x = args[0].detach()
            y.register_hook(lambda dy: sketch.add(x, dy))

        self._handles += [base.register_forward_pre_hook(before), base.register_forward_hook(after)]

    def backward(self, loss: torch.Tensor | None) -> None:
        """Run back from a loss, leaving no gradient in any parameter."""
        if loss is None:
            raise QweftError("the model returned no loss for a batch; a batch needs labels")
        leaves, self._leaves = self._leaves, []
        if not leaves or not loss.requires_grad:
            raise QweftError(
                "the loss does not depend on any adapted layer, so there is no gradient to find a basis in"
            )
        torch.autograd.grad(loss, leaves, allow_unused=True)

    def stop(self) -> None:
        """Leave the layers as they were."""
        for handle in self._handles:
            handle.remove()


def _device(layer: QwthnLinear) -> torch.device:
    return next(layer.qwthn_core.parameters()).device


@torch.no_grad()
def _of_weight(layer: QwthnLinear, r: int, place: int) -> Directions:
    weight = layer.get_base_weight().detach().float()
    if isinstance(layer.get_base_layer(), Conv1D):
        weight = weight.T
    sketch = GradientSketch(layer.in_features, layer.out_features, r, weight.device, place)
    sketch.add(torch.eye(layer.in_features, device=weight.device), weight.T)
    return sketch.directions()


def _random(layer: QwthnLinear, r: int, place: int) -> Directions:
    generator = _generator(place)
    into, out = (
        torch.linalg.qr(torch.randn(size, r, generator=generator)).Q for size in (layer.in_features, layer.out_features)
    )
    return into, out
