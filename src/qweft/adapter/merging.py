"""Whether adapters can be merged: all is looked at before a weight is touched."""

from collections.abc import Iterable
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from qweft.adapter.layer import QwthnLinear
from qweft.errors import QweftError


def check_not_merged(layers: Iterable[BaseTunerLayer], adapter_name: str) -> None:
    """Raise if an adapter is merged into one of these layers."""
    if any(adapter_name in layer.merged_adapters for layer in layers):
        raise QweftError(f"adapter {adapter_name!r} is merged into the base model; call unmerge_adapter() first")


def check_mergeable(model: nn.Module, adapter_names: list[str] | None, safe_merge: bool) -> None:
    """Check that the branches of adapters can be added to the base weights of a model."""
    layers: dict[str, Any] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, QwthnLinear):
            wanted = layer.active_adapters if adapter_names is None else adapter_names
            names = [each for each in wanted if each in layer.qwthn_compress]
            for each in names:
                if not layer.supports_lora_conversion(each):
                    layer.get_delta_weight(each)  # raises
            if names:
                layers[name] = layer
    owners: dict[int, dict[nn.Module, str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), {})[module] = name
    for name, layer in layers.items():
        backend, base = layer.quantization_backend, layer.get_base_layer()
        if backend is not None and not backend.supports_merge:
            raise ValueError(
                f"target module {name} is quantized by {backend.backend_name}, whose weights cannot be changed; keep "
                "the adapter unmerged, or load it on the unquantized model"
            )
        if isinstance(base, AuxiliaryTrainingWrapper):
            raise ValueError(
                f"target module {name} is also trained by itself (trainable_token_indices or modules_to_save); do not "
                "merge, or leave it out of one of the two"
            )
        weight = getattr(base, "weight", None)
        others = [(module, place) for module, place in owners.get(id(weight), {}).items() if module is not base]
        if others:
            module, place = others[0]
            other = "the input embedding" if isinstance(module, nn.Embedding) else place
            raise ValueError(
                f"target module {name} shares its weight with {other}, so merging would change both; give it a "
                "copy of the weight (an output layer needs tie_word_embeddings=False for it), or do not merge"
            )
    if safe_merge:
        for layer in layers.values():
            layer.check_finite(check_adapters_to_merge(layer, adapter_names) or [])
