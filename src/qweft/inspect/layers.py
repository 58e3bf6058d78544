"""The branch of one adapted layer in small factors, the circuit's share of it, and its non-affinity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.adapter.loading import check_not_merged
from qweft.core.errors import QweftError
from qweft.method.names import form_of

CUT = 1e-10
"""Singular values below this share of the largest are left out, so that no coefficient is made of rounding errors."""


@dataclass(frozen=True)
class LayerMap:
    """The branch s E core(C x) = X f(c) of a layer in float64; X = Q_X `out`, C = `into` Q_C with orthonormal Q."""

    compress: torch.Tensor
    into: torch.Tensor
    out: torch.Tensor
    mix: torch.Tensor
    features: Callable[[torch.Tensor], torch.Tensor]
    core: Any = None  # `None` for PEFT's LoRA
    weighs: str = ""
    start: str = "recorded"


def _right_factor(matrix: torch.Tensor) -> torch.Tensor:
    factor: torch.Tensor = torch.linalg.qr(matrix, mode="r").R
    return factor


@torch.no_grad()
def _of_qwthn(layer: QwthnLinear, adapter_name: str, core_name: str, start: str) -> LayerMap:
    branch = layer.branch_of(adapter_name)
    found = [tensor.detach().cpu() for tensor in branch.tensors()]
    tensors = [tensor.double() if tensor.is_floating_point() else tensor for tensor in found]  # else packed directions
    compress, expand, *angles = branch.build(tensors)
    core: Any = branch.core
    first, last = len(branch.compress.tensors()), len(tensors) - len(branch.expand.tensors())
    return LayerMap(
        compress=compress,
        into=_right_factor(compress.T).T,
        out=_right_factor(expand * layer.scaling[adapter_name]),
        mix=core.combine(torch.eye(len(compress), dtype=torch.float64), tensors[first:last]),
        features=lambda c: core.features(c, *angles),
        core=core,
        weighs=form if (form := form_of(core_name)) in ("weighted", "gated") else "",
        start=start,
    )


@torch.no_grad()
def _of_lora(layer: LoraLayer, adapter_name: str) -> LayerMap:
    # (r, d_in), (d_out, r)
    down, up = (getattr(layer, name)[adapter_name].weight.cpu().double() for name in ("lora_A", "lora_B"))
    out = _right_factor(up * layer.scaling[adapter_name])
    identity = torch.eye(len(down), dtype=torch.float64)
    return LayerMap(down, _right_factor(down.T).T, out, identity, lambda c: c)


def _is_plain_lora(layer: LoraLayer, adapter_name: str) -> bool:
    """Whether the branch is exactly s B A x on a linear layer, without DoRA or a bias, for a single expert."""
    parts = [getattr(layer, name)[adapter_name] for name in ("lora_A", "lora_B") if adapter_name in layer.lora_A]
    plain = adapter_name not in layer.lora_variant and not layer.lora_bias.get(adapter_name, False)
    plain = plain and getattr(layer, "num_experts", 1) == 1  # bare parameters have a B and an A for each expert
    return bool(parts) and plain and all(isinstance(part, nn.Linear) for part in parts)


def layer_maps(model: Any, adapter_name: str) -> tuple[dict[str, tuple[nn.Module, LayerMap]], list[str]]:
    """Return the layers with this adapter and their branches."""
    config = getattr(model, "peft_config", {}).get(adapter_name)
    if config is None:
        raise QweftError(f"the model has no adapter {adapter_name!r}; put one on it with PeftModel.from_pretrained")
    found: dict[str, tuple[nn.Module, LayerMap]] = {}
    left_out: list[str] = []
    for name, named in model.get_base_model().named_modules():
        module: Any = named
        if isinstance(module, BaseTunerLayer):
            check_not_merged([module], adapter_name)
        if isinstance(module, QwthnLinear) and adapter_name in module.qwthn_compress:
            if not module.branch_of(adapter_name).is_found:
                raise QweftError(  # the gradients of the text would become the directions
                    f"the fixed directions of adapter {adapter_name!r} are not found yet; call qweft.find_bases, or "
                    "train it, before it is inspected"
                )
            found[name] = (named, _of_qwthn(module, adapter_name, config.core, config.start))
        elif isinstance(module, LoraLayer) and adapter_name in {*module.lora_A, *module.lora_embedding_A}:
            if _is_plain_lora(module, adapter_name):
                found[name] = (named, _of_lora(module, adapter_name))
            else:
                left_out.append(name)
    if not found:
        raise QweftError(
            f"no layer of adapter {adapter_name!r} is measured; give one of QWTHN or plain LoRA on linear layers"
        )
    return found, left_out


def shares_of(layer_map: LayerMap, c: torch.Tensor) -> dict[str, float | None]:
    """Return the shares of the mean square of the update u = a + b over tokens, by name; none without a circuit.

        circuit + linear + cross = 1,   mean |a|^2, mean |b|^2 and 2 mean <a, b> over mean |u|^2

    For h = Q q(c) + K c: a = s E Q q(c), which varies by a - mean a, and b = s E K c.
    For h = q(c) * c: a = u, and varying + linear + cross = 1 with s E ((q(c) - mean q) * c) and s E (mean q * c), since
    a constant q is a weight and not a bias. For h = w * c with w = 1 + Q q(c / |c|) the same with w for q, and
    a = s E ((w - 1) * c).
    """
    own = getattr(layer_map.core, "circuit_features", 0)
    f = layer_map.features(c)
    total = _mean_square(f @ layer_map.out.T)
    if not own or not total:
        return {}
    if layer_map.weighs:
        through = f - c if layer_map.weighs == "gated" else f * (torch.arange(f.shape[1]) < own)
        q = torch.where(c == 0, 0, f / torch.where(c == 0, 1, c))
        circuit = _mean_square(through @ layer_map.out.T) / total
        varying = _mean_square(((q - q.mean(0)) * c) @ layer_map.out.T) / total
        linear = _mean_square((q.mean(0) * c) @ layer_map.out.T) / total
        cross = 1 - varying - linear
    else:
        parts = zip(f.tensor_split([own], 1), layer_map.out.tensor_split([own], 1), strict=True)
        a, b = (part @ out.T for part, out in parts)
        circuit, linear = _mean_square(a) / total, _mean_square(b) / total
        varying, cross = _mean_square(a - a.mean(0)) / total, 1 - circuit - linear
    shares = {"circuit_share": circuit, "circuit_share_varying": varying}
    return {**shares, "linear_share": linear, "cross_share": cross}


def _mean_square(vectors: torch.Tensor) -> float:
    return float(vectors.square().sum(-1).mean())


def non_affinity(c: torch.Tensor, h: torch.Tensor) -> float | None:
    """Return sum |h - L c - b|^2 / sum |h - mean h|^2 in [0, 1] on the second half, L and b fitted to the first."""
    half = len(c) // 2
    if half < 2 * (c.shape[1] + 1):
        return None
    return min(fitted(torch.cat([c, torch.ones_like(c[:, :1])], 1), h, half)[1], 1.0)


def fitted(terms: torch.Tensor, values: torch.Tensor, count: int) -> tuple[torch.Tensor, float]:
    """Return the least-squares fit to the first tokens, and sum |v - fit|^2 / sum |v - mean v|^2 of the others."""
    # "gelsd": the terms may lie in fewer dimensions
    fit = torch.linalg.lstsq(terms[:count], values[:count], rcond=CUT, driver="gelsd").solution
    others = values[count:]
    missed = float((others - terms[count:] @ fit).square().sum())
    variance = float((others - others.mean(0)).square().sum())
    floor = (len(others) * torch.finfo(values.dtype).eps) ** 2 * float(others.square().sum())  # rounding of the mean
    return fit, missed / variance if variance > floor else 0.0
