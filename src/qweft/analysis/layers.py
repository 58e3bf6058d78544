"""The branch of one adapted layer in small factors: all of its measures are taken between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.adapter.cores import form_of
from qweft.circuit import Circuit
from qweft.errors import QweftError


@dataclass(frozen=True)
class LayerMap:
    """The branch s E core(C x) = X f(c) of one layer, c = C x and X = s E M, in float64 on the CPU.

    X = Q_X `out` and C = `into` Q_C with orthonormal columns of Q_X and rows of Q_C: norms, singular values and inner
    products of what the branch does are those of the small factors, so nothing of d_out x d_in is formed.

    Args:
        compress: C, (r, d_in).
        into: Its small factor, (r, r'), r' = min(r, d_in).
        out: The small factor of X, (f', features), f' = min(features, d_out).
        core_out: The small factor of s E, (r'', r): |s E h| = |core_out h|.
        mix: M, (r, features), h = core(c) = M f(c).
        features: f, (tokens, r) to (tokens, features).
        function_features: The first so many features are what a circuit, or a twin in its place, makes of c.
        weighs: Whether those are w(c) * c instead of q(c): "weighted" by w = q(c), "gated" by w = 1 + Q q(c / |c|).
        circuit: The circuit, if there is one.
        angles: Its angles.
        is_lora: Whether it is PEFT's own LoRA.
    """

    compress: torch.Tensor
    into: torch.Tensor
    out: torch.Tensor
    core_out: torch.Tensor
    mix: torch.Tensor
    features: Callable[[torch.Tensor], torch.Tensor]
    function_features: int = 0
    weighs: Literal["", "weighted", "gated"] = ""
    circuit: Circuit | None = None
    angles: torch.Tensor | None = None
    is_lora: bool = False

    @property
    def rank(self) -> int:
        """The rank r."""
        return len(self.compress)


def _right_factor(matrix: torch.Tensor) -> torch.Tensor:
    """R of matrix = Q R."""
    factor: torch.Tensor = torch.linalg.qr(matrix, mode="r").R
    return factor


def _weighs(core_name: str) -> Literal["", "weighted", "gated"]:
    form = form_of(core_name)
    return "weighted" if form == "weighted" else "gated" if form == "gated" else ""


@torch.no_grad()
def _of_qwthn(layer: QwthnLinear, adapter_name: str, core_name: str) -> LayerMap:
    branch = layer.branch_of(adapter_name)
    tensors = [tensor.detach().cpu().double() for tensor in branch.tensors()]
    compress, expand, *angles = branch.build(tensors)
    core: Any = branch.core
    first, last = len(branch.compress.tensors()), len(tensors) - len(branch.expand.tensors())
    circuit = getattr(core, "circuit", None)
    scaling = layer.scaling[adapter_name]
    return LayerMap(
        compress=compress,
        into=_right_factor(compress.T).T,
        out=_right_factor(expand * scaling),
        core_out=_right_factor(branch.expand.contract(tensors[last:]) * scaling),
        mix=core.combine(torch.eye(len(compress), dtype=torch.float64), tensors[first:last]),
        features=lambda c: core.features(c, *angles),
        function_features=core.circuit_features,
        weighs=_weighs(core_name),
        circuit=circuit,
        angles=None if circuit is None else core.angles.detach().cpu().double(),
    )


@torch.no_grad()
def _of_lora(layer: LoraLayer, adapter_name: str) -> LayerMap:
    # (r, d_in), (d_out, r)
    down, up = (getattr(layer, name)[adapter_name].weight.cpu().double() for name in ("lora_A", "lora_B"))
    out = _right_factor(up * layer.scaling[adapter_name])
    identity = torch.eye(len(down), dtype=torch.float64)
    return LayerMap(down, _right_factor(down.T).T, out, out, identity, lambda c: c, is_lora=True)


def _is_plain_lora(layer: LoraLayer, adapter_name: str) -> bool:
    """Whether the branch is s B A x and nothing else: no DoRA, no bias, a linear layer."""
    parts = [getattr(layer, name)[adapter_name] for name in ("lora_A", "lora_B") if adapter_name in layer.lora_A]
    plain = adapter_name not in layer.lora_variant and not layer.lora_bias.get(adapter_name, False)
    return bool(parts) and plain and all(isinstance(part, nn.Linear) for part in parts)


def layer_maps(model: Any, adapter_name: str) -> tuple[dict[str, tuple[nn.Module, LayerMap]], list[str]]:
    """The layers that have this adapter, by their names in the base model, each with its branch.

    Args:
        model: A PEFT model.
        adapter_name: The adapter.

    Returns:
        The layers, and the names of those that are left out: LoRA on embeddings or convolutions, DoRA, LoRA with a
        bias.

    Raises:
        QweftError: If there is no such adapter, it is of another method, it is merged, or no layer is left.
    """
    config = getattr(model, "peft_config", {}).get(adapter_name)
    if config is None:
        raise QweftError(f"the model has no adapter {adapter_name!r}; put one on it with PeftModel.from_pretrained")
    found: dict[str, tuple[nn.Module, LayerMap]] = {}
    left_out: list[str] = []
    for name, named in model.get_base_model().named_modules():
        module: Any = named
        if isinstance(module, BaseTunerLayer) and adapter_name in module.merged_adapters:
            raise QweftError(f"adapter {adapter_name!r} is merged into the base model; call unmerge_adapter() first")
        if isinstance(module, QwthnLinear) and adapter_name in module.qwthn_compress:
            found[name] = (named, _of_qwthn(module, adapter_name, config.core))
        elif isinstance(module, LoraLayer) and adapter_name in {*module.lora_A, *module.lora_embedding_A}:
            if _is_plain_lora(module, adapter_name):
                found[name] = (named, _of_lora(module, adapter_name))
            else:
                left_out.append(name)
    if not found:
        method = getattr(config.peft_type, "value", config.peft_type)
        why = "whose layers are of no kind that is measured" if left_out else f"of PEFT's method {method}"
        raise QweftError(f"adapter {adapter_name!r} is one {why}; QWTHN and plain LoRA on linear layers are measured")
    return found, left_out
