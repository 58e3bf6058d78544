"""Attach and detach the adapter of a method: this package's, PEFT's, or another package's."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from peft import PeftConfig, PromptLearningConfig
from torch import nn

from qweft.adapter.attach import adapter_config, attach, detach
from qweft.errors import QweftError
from qweft.method.checks import closest

LONG = 10**9
"""Number of steps of an adapter that is attached only to count its parameters."""

REFUSED = {
    "ADAPTION_PROMPT": "PEFT cannot take it off a model again, and the runs of a comparison share one",
    "FROD": "it is made from the base model's weights, and a comparison counts each method on shapes alone",
    "MULTITASK_PROMPT_TUNING": "it needs a task number with each row",
    "POLY": "it needs a task number with each row",
    "SHADOW": "it adds a loss of its own to the training loss and a model of its own to the base model",
    "SHIRA": "which entries it trains is drawn on the base model's weights, and a comparison counts on shapes alone",
    "XLORA": "it mixes LoRA adapters that were trained before, and a comparison starts from none",
}
"""PEFT methods that cannot be compared, and why."""

PROMPT = (
    "it puts trained tokens before the text (prompt learning), which the held-out loss and the generation of a "
    "comparison do not reckon with"
)

REFUSED_STARTS = {
    "pissa": "it rewrites base weights, which the runs of a comparison share",
    "olora": "it rewrites base weights, which the runs of a comparison share",
    "loftq": "it rewrites base weights, which the runs of a comparison share",
    "lora_ga": "it needs gradients collected before, and rewrites base weights",
    "corda": "it needs activations collected before, and rewrites base weights",
    "eva": "it needs activations collected before, and is LoRA's usual start without them",
}
"""Initialisations of LoRA that cannot be compared, and why."""


def put_on(model: nn.Module, specification: Mapping[str, Any], steps: int | None) -> Any:
    """Attaches an adapter to the model, so that only the adapter is trainable.

    Args:
        model: The base model.
        specification: As in a method of a comparison.
        steps: Optimizer steps of the training; `None` if it is not trained.

    Raises:
        QweftError: If the adapter is refused, by a comparison or by its package.
    """
    if "rival" in specification:
        return attach_rival(model, specification)
    config = adapter_config(_with_steps(specification, steps))
    check_comparable(config)
    return attach(model, config)


def take_off(adapted: Any, specification: Mapping[str, Any]) -> Any:
    """Detaches the adapter and returns the base model."""
    return rival_of(specification).detach(adapted) if "rival" in specification else detach(adapted)


def _with_steps(specification: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """Returns the specification. AdaLoRA, whose ranks follow a schedule over training, gets the number of steps."""
    given = dict(specification)
    if str(given.get("peft_type")).upper() == "ADALORA":
        if "total_step" in given:
            raise QweftError("total_step is the number of steps of the training in a comparison; leave it out")
        given["total_step"] = steps or LONG
    return given


def trained(adapted: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the trainable parameters by name."""
    # AdaLoRA's rank counter requires gradients on the meta device, and only there
    return {name: p for name, p in adapted.named_parameters() if p.requires_grad and ".ranknum." not in name}


def check_comparable(config: PeftConfig) -> None:
    """Checks a config against the lists of methods that cannot be compared.

    Raises:
        QweftError: Naming the method and why it is not compared.
    """
    name = str(getattr(config.peft_type, "value", config.peft_type))
    reason = REFUSED.get(name)
    if reason is None and isinstance(config, PromptLearningConfig):
        reason = PROMPT
    if reason is not None:
        raise QweftError(f"{name} cannot be compared: {reason}; leave it out")
    start: Any = getattr(config, "init_lora_weights", None)
    if isinstance(start, str):
        reason = next((why for known, why in REFUSED_STARTS.items() if start.startswith(known)), None)
        if reason is not None:
            raise QweftError(
                f"init_lora_weights {start!r} cannot be compared: {reason}; leave it out, or choose gaussian or "
                "orthogonal"
            )
    if getattr(config, "modules_to_save", None):
        raise QweftError(
            f"modules_to_save {sorted(config.modules_to_save)} trains modules of the base model, which the runs of a "  # type: ignore[attr-defined]
            "comparison share; leave it out"
        )


def _quantum_adapter(model: nn.Module, fields: Mapping[str, Any]) -> Any:
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


def attach_rival(model: nn.Module, specification: Mapping[str, Any]) -> Any:
    """Attaches another package's adapter to the model.

    Raises:
        QweftError: If the package is unknown or not installed, or refuses the fields or the model.
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
