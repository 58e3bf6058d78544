"""Kinds of methods: LoRA, hybrids with a circuit, controls without one."""

from collections.abc import Mapping
from typing import Any, Literal

from qweft.method.effective import RESOLVED, complete
from qweft.method.names import OF_FUNCTIONS, TWINS, function_of, has_role
from qweft.method.peft_methods import OWN
from qweft.method.presets import stated
from qweft.method.resolved import resolve

Kind = Literal["base", "lora", "hybrid", "no_circuit", "twin", "other"]

CLASSICAL_CONTROLS = has_role("classical")
"""Classical functions in place of the circuit. Their kind is "twin", also in saved results."""

CONSTANTS = has_role("constant")
"""Functions without an input: what is left of a circuit that ignores its own."""

ALTERED_CIRCUITS = has_role("altered")
"""Circuits that lack something: trained angles, or entanglement."""

NOT_COMPARED = ("core", "preset", "peft_type", "task_type", "fourier_terms")
"""Fields in which a control may differ: those that name it, and those that only some functions read."""


def kind_of(method: str, adapter: Mapping[str, Any] | None) -> Kind:
    """Return the kind of a method, from its adapter's specification."""
    if method == "base":
        return "base"
    core, maps, spec = core_of(adapter), maps_of(adapter), adapter or {}
    if core is None:
        return "lora" if str(spec.get("peft_type")).upper() == "LORA" and not spec.get("use_dora") else "other"
    function = function_of(core)
    if function is not None:
        return "twin" if function in TWINS else "hybrid"
    return "lora" if maps == ("dense", "dense") and core == "identity" else "no_circuit"


def core_of(adapter: Mapping[str, Any] | None) -> str | None:
    """Return the name of the core between the maps ("quantum_linear"); `None` for adapters of other kinds."""
    spec = _own(adapter)
    return None if spec is None else str(spec.get("core", "quantum_linear"))


def maps_of(adapter: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return the kinds of the maps around the core ("mpo" or "dense"); `None` for adapters of other kinds."""
    spec = _own(adapter)
    return None if spec is None else (str(spec.get("compress", "mpo")), str(spec.get("expand", "mpo")))


def _own(adapter: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the specification of an adapter of this package with its preset's fields; `None` for any other."""
    spec = stated({"peft_type": OWN, **adapter} if adapter and "preset" in adapter else adapter or {})
    return spec if str(spec.get("peft_type")).upper() == OWN else None


def differences(adapter: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the differences between two adapters of this package besides the core: ["r (1, not 8)"]."""
    ours, theirs = complete(adapter), complete(other)
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
