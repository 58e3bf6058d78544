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


def other_places(model: nn.Module) -> dict[str, str]:
    """Return by the name of an adapted layer where else in the model it stands without its branch."""
    places = dict(model.named_modules(remove_duplicate=False))  # else a second place would be left out
    layers = {id(layer.base_layer): (name, layer) for name, layer in _adapted(model).items()}
    found = {}
    for place, module in places.items():
        name, layer = layers.get(id(module), ("", None))
        if layer is not None and places[place.rpartition(".")[0]] is not layer:
            found[name] = place
    return found


def _adapted(model: nn.Module) -> dict[str, QwthnLinear]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, QwthnLinear)}


def check_mergeable(model: nn.Module, adapter_names: list[str] | None, safe_merge: bool) -> None:
    """Check that the branches of adapters can be added to the base weights of a model."""
    layers = {}
    for at, layer in _adapted(model).items():
        wanted = layer.active_adapters if adapter_names is None else adapter_names
        names = [name for name in wanted if name in layer.qwthn_compress]
        for name in names:
            if not layer.supports_lora_conversion(name):
                layer.get_delta_weight(name)  # raises
        if names:
            layers[at] = layer
    find = getattr(model, "get_input_embeddings", None)
    try:
        embedding = getattr(find() if find else None, "weight", None)
    except NotImplementedError:  # some of transformers' models do not implement it
        embedding = None
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, module))
    elsewhere = other_places(model)
    for name, layer in layers.items():
        _check_layer(name, layer)
        base = layer.get_base_layer()
        weight = getattr(base, "weight", None)
        other = next((at for at, owner in owners.get(id(weight), ()) if owner is not base), None)
        if other is not None:
            other = "the input embedding" if weight is embedding else other
            raise ValueError(
                f"target module {name} shares its weight with {other}, so merging would change both; give it a "
                "copy of the weight (an output layer needs tie_word_embeddings=False for it), or do not merge"
            )
        if name in elsewhere:
            raise ValueError(
                f"target module {name} is also {elsewhere[name]}, which is not adapted, so merging would change both; "
                "give one of them a copy (copy.deepcopy), or do not merge"
            )
    if safe_merge:
        for layer in layers.values():
            layer.check_finite(check_adapters_to_merge(layer, adapter_names) or [])


def _check_layer(name: str, layer: Any) -> None:
    backend, base = layer.quantization_backend, layer.get_base_layer()
    if backend is not None and not backend.supports_merge:
        raise ValueError(
            f"target module {name} is quantized by {backend.backend_name}, whose weights cannot be changed, so "
            "nothing can be merged into them; keep the adapter unmerged, or load it on the unquantized model"
        )
    if isinstance(base, AuxiliaryTrainingWrapper):
        raise ValueError(
            f"target module {name} is also trained by itself (trainable_token_indices or modules_to_save), so "
            "nothing can be merged into it; do not merge, or leave it out of one of the two"
        )
    if backend is None and "weight" not in dict(base.named_parameters(recurse=False)):
        raise ValueError(
            f"target module {name} computes its weight from others (a parametrization, or pruning), so what is merged "
            "would be lost; remove that from the layer first (torch.nn.utils.parametrize.remove_parametrizations, "
            "torch.nn.utils.prune.remove), or do not merge"
        )
