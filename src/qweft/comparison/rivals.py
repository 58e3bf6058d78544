"""Adapters of other packages, as methods of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qweft.errors import QweftError
from qweft.method.checks import closest

if TYPE_CHECKING:
    from torch import nn


def _quantum_adapter(model: "nn.Module", fields: Mapping[str, Any]) -> Any:
    package = import_module("quantum_adapter")
    return package.get_quantum_model(model, package.QuantumAdapterConfig(**fields))


def _without_quantum_adapter(adapted: Any) -> Any:
    """Restores each wrapped layer: the package itself can only merge into the base weights or leave its layers in."""
    for name, layer in adapted.adapter_layers():
        parent, _, child = name.rpartition(".")
        setattr(adapted.base_model.get_submodule(parent), child, layer.base)
    return adapted.base_model


@dataclass(frozen=True)
class Rival:
    """Another package whose adapters can be compared.

    Args:
        package: Name of the package to install.
        size: The field that sets the number of parameters, for `match_parameters`.
        attach: Takes the base model and the fields of the package's config. Returns an adapted model with
            `save_pretrained`.
        detach: Takes that model and returns the original base model.
    """

    package: str
    size: str
    attach: Any
    detach: Any


RIVALS = {
    # circuit states as LoRA factors; the layer fixes their width, so depth sets the size
    "quantum-adapter": Rival("quantum-adapter", "depth", _quantum_adapter, _without_quantum_adapter),
}


def rival_of(specification: Mapping[str, Any]) -> Rival:
    """Returns the package that a specification names.

    Raises:
        QweftError: If the name is unknown.
    """
    name = str(specification["rival"])
    if name not in RIVALS:
        raise QweftError(f"rival {name!r} is not known{closest(name, RIVALS)}; rivals: {', '.join(RIVALS)}")
    return RIVALS[name]


def attach_rival(model: "nn.Module", specification: Mapping[str, Any]) -> Any:
    """Attaches another package's adapter to the model.

    Raises:
        QweftError: If the package is unknown or not installed, or refuses the fields or the model.
    """
    rival = rival_of(specification)
    try:
        return rival.attach(model, {key: value for key, value in specification.items() if key != "rival"})
    except ImportError as error:
        raise QweftError(
            f"rival {rival.package} is not installed ({error}): pip install '.[rivals]', or leave the method out"
        ) from error
    except (ValueError, TypeError) as error:
        raise QweftError(f"{rival.package} refuses its adapter: {error}") from error
