"""Kinds of methods: LoRA, hybrids with a circuit, controls without one."""

from collections.abc import Mapping
from typing import Any, Literal

from qweft.method.effective import OF_FUNCTIONS, RESOLVED, complete
from qweft.method.names import FIELDS, TWINS, function_of, has_role
from qweft.method.presets import PRESETS
from qweft.method.resolved import resolve

Kind = Literal["base", "lora", "hybrid", "no_circuit", "twin", "other"]

CLASSICAL_CONTROLS = has_role("classical")
"""Classical functions in place of the circuit. Their kind is "twin", also in saved results."""

CONSTANTS = has_role("constant")
"""Functions without an input: what is left of a circuit that ignores its own."""

ALTERED_CIRCUITS = has_role("altered")
"""Circuits that lack something: trained angles, or entanglement."""

NOT_COMPARED = ("core", "preset", "peft_type", "task_type", *FIELDS)
"""Fields in which a control may differ: those that name it, and those that only some functions read."""


def kind_of(method: str, adapter: Mapping[str, Any] | None) -> Kind:
    """Return the kind of a method, from its adapter's specification."""
    if method == "base":
        return "base"
    spec = _resolved(adapter)
    if _peft_type(spec) == "LORA":
        return "other" if spec.get("use_dora") else "lora"
    core = core_of(adapter)
    if core is None:
        return "other"
    function = function_of(core)
    if function is not None:
        return "twin" if function in TWINS else "hybrid"
    dense = spec.get("compress") == spec.get("expand") == "dense"
    return "lora" if dense and core == "identity" else "no_circuit"


def core_of(adapter: Mapping[str, Any] | None) -> str | None:
    """Return the name of the core between the maps ("quantum_linear"); `None` for adapters of other kinds."""
    spec = _resolved(adapter)
    return str(spec.get("core", "quantum_linear")) if _peft_type(spec) == "QWTHN" else None


def maps_of(adapter: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return the kinds of the maps around the core ("mpo" or "dense"); `None` for adapters of other kinds."""
    spec = _resolved(adapter)
    if _peft_type(spec) != "QWTHN":
        return None
    return str(spec.get("compress", "mpo")), str(spec.get("expand", "mpo"))


def differences(adapter: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the differences between two adapters of this package besides the core: ["r (1, not 8)"]."""
    ours, theirs = complete(_resolved(adapter)), complete(_resolved(other))
    left_out = set(NOT_COMPARED)
    if None in (function_of(ours["core"]), function_of(theirs["core"])):
        left_out.update(OF_FUNCTIONS)
    return [
        f"{key} ({_said(_meant(ours, key))}, not {_said(_meant(theirs, key))})"
        for key in dict.fromkeys((*ours, *theirs))
        if key not in left_out and ours.get(key) != theirs.get(key) and _meant(ours, key) != _meant(theirs, key)
    ]


def _meant(spec: dict[str, Any], key: str) -> Any:
    """Return a field's effective value: `None` resolved to its number, modules sorted."""
    value = spec.get(key)
    if key in RESOLVED:
        return getattr(resolve(spec), key)
    return sorted(value) if isinstance(value, list) and key.endswith("_modules") else value


def _said(value: Any) -> str:
    """Return a field's value as text."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _resolved(adapter: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the specification with its preset's fields; empty without one."""
    if adapter is None or "preset" not in adapter:
        return dict(adapter or {})
    preset = PRESETS.get(str(adapter["preset"]))
    return {"peft_type": "QWTHN", **(preset.fields if preset else {}), **adapter}


def _peft_type(spec: dict[str, Any]) -> str | None:
    """Return the PEFT type in capitals; `None` without one."""
    return str(spec["peft_type"]).upper() if "peft_type" in spec else None
