"""Other packages' adapters, put on the shared base model and taken off again."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from qweft.adapter.checks import closest
from qweft.errors import QweftError


def _quantum_adapter(model: nn.Module, fields: Mapping[str, Any]) -> Any:
    package = import_module("quantum_adapter")
    return package.get_quantum_model(model, package.QuantumAdapterConfig(**fields))


def _without_quantum_adapter(adapted: Any) -> Any:
    """The package merges into the base weights or leaves its layers; so each layer that it wrapped is put back."""
    for name, layer in adapted.adapter_layers():
        parent, _, child = name.rpartition(".")
        setattr(adapted.base_model.get_submodule(parent), child, layer.base)
    return adapted.base_model


@dataclass(frozen=True)
class Rival:
    """A package whose adapters can be compared.

    Args:
        package: What is installed.
        size: The field that a number of parameters is matched with.
        attach: Base model and fields of the package's config to an adapted model, which has `save_pretrained`.
        detach: That model to the base model as it was.
    """

    package: str
    size: str
    attach: Any
    detach: Any


RIVALS = {
    # circuit states as the factors of a LoRA; their width follows from the layer, so the depth sets the size
    "quantum-adapter": Rival("quantum-adapter", "depth", _quantum_adapter, _without_quantum_adapter),
}


def rival_of(specification: Mapping[str, Any]) -> Rival:
    """The package that a specification names.

    Raises:
        QweftError: If it is not known.
    """
    name = str(specification["rival"])
    if name not in RIVALS:
        raise QweftError(f"rival {name!r} is not known{closest(name, RIVALS)}; rivals: {', '.join(RIVALS)}")
    return RIVALS[name]


def attach_rival(model: nn.Module, specification: Mapping[str, Any]) -> Any:
    """The model with a rival's adapter on it.

    Raises:
        QweftError: If the package is not known or not installed, or refuses the fields or the model.
    """
    rival = rival_of(specification)
    try:
        return rival.attach(model, {key: value for key, value in specification.items() if key != "rival"})
    except ImportError as error:
        raise QweftError(
            f"rival {rival.package} is not installed ({error}): pip install 'qweft[rivals]', or leave the method out"
        ) from error
    except (ValueError, TypeError) as error:
        raise QweftError(f"{rival.package} refuses its adapter: {error}") from error
