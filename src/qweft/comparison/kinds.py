"""What a method is: a LoRA, a hybrid with a circuit, a control without one."""

from typing import Any, Literal

from qweft.adapter.presets import PRESETS

Kind = Literal["base", "lora", "hybrid", "no_circuit", "twin", "other"]


def kind_of(method: str, adapter: dict[str, Any] | None) -> Kind:
    """The kind of a method, from its adapter's specification, or from its name where there is none.

    Args:
        method: Name of the method in the comparison.
        adapter: The specification as in the configuration ({"preset": "qtha", "r": 8}); none for the base model.

    Returns:
        "hybrid" has a circuit, "no_circuit" is such a network without it, "twin" one with a classical stand-in.
    """
    if method == "base":
        return "base"
    spec = _resolved(method, adapter)
    peft_type = str(spec.get("peft_type", "QWTHN")).upper()
    if peft_type == "LORA":
        return "lora"
    if peft_type != "QWTHN" or not spec:
        return "other"
    if spec.get("twin") is not None:
        return "twin"
    if str(spec.get("core", "quantum_linear")).startswith("quantum"):
        return "hybrid"
    dense = spec.get("compress") == spec.get("expand") == "dense"
    return "lora" if dense and spec["core"] == "identity" else "no_circuit"


def maps_of(method: str, adapter: dict[str, Any] | None) -> tuple[str, str]:
    """The kinds of map around the core ("mpo" or "dense"): a control must have the same as what it controls.

    Args:
        method: Name of the method in the comparison.
        adapter: Its specification.
    """
    spec = _resolved(method, adapter)
    return str(spec.get("compress", "mpo")), str(spec.get("expand", "mpo"))


def _resolved(method: str, adapter: dict[str, Any] | None) -> dict[str, Any]:
    """The specification with its preset's fields; without one, those of the preset that the name begins with."""
    if adapter:
        return {**PRESETS.get(str(adapter.get("preset")), {}), **adapter}
    return next((dict(fields) for name, fields in PRESETS.items() if f"{method}_".startswith(f"{name}_")), {})
