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
    core = core_of(adapter)
    if core is None:
        return "lora" if _is_plain_lora(adapter or {}) else "other"
    function = function_of(core)
    if function is not None:
        return "twin" if function in TWINS else "hybrid"
    is_lora = core == "identity" and maps_of(adapter) == ("dense", "dense")
    return "lora" if is_lora else "no_circuit"


def _is_plain_lora(adapter: Mapping[str, Any]) -> bool:
    """Whether an adapter of PEFT is a LoRA, and no DoRA."""
    return str(adapter.get("peft_type")).upper() == "LORA" and not adapter.get("use_dora")


def core_of(adapter: Mapping[str, Any] | None) -> str | None:
    """Return the name of the core between the maps ("quantum_linear"); `None` for adapters of other kinds."""
    specification = _own_specification(adapter)
    return None if specification is None else str(specification.get("core", "quantum_linear"))


def maps_of(adapter: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return the kinds of the maps around the core ("mpo" or "dense"); `None` for adapters of other kinds."""
    specification = _own_specification(adapter)
    if specification is None:
        return None
    return str(specification.get("compress", "mpo")), str(specification.get("expand", "mpo"))


def _own_specification(adapter: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the specification of an adapter of this package with its preset's fields; `None` for any other."""
    specification = dict(adapter or {})
    if "preset" in specification:
        specification = {"peft_type": OWN, **specification}
    specification = stated(specification)
    return specification if str(specification.get("peft_type")).upper() == OWN else None


def describe_differences(adapter: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the differences between two adapters of this package besides the core: ["r (1, not 8)"]."""
    fields = complete(adapter)
    other_fields = complete(other)
    left_out = set(NOT_COMPARED)
    if None in (function_of(fields["core"]), function_of(other_fields["core"])):
        left_out.update(OF_FUNCTIONS)
    differences = []
    for key in dict.fromkeys((*fields, *other_fields)):
        if key in left_out or fields.get(key) == other_fields.get(key):
            continue
        value = _effective_value(fields, key)
        other_value = _effective_value(other_fields, key)
        if value != other_value:
            differences.append(f"{key} ({_format_value(value)}, not {_format_value(other_value)})")
    return differences


def _effective_value(fields: dict[str, Any], key: str) -> Any:
    """Return a field's effective value: `None` resolved to its number, modules sorted."""
    if key in RESOLVED:
        return getattr(resolve(fields), key)
    value = fields.get(key)
    return sorted(value) if isinstance(value, list) and key.endswith("_modules") else value


def _format_value(value: Any) -> str:
    """Return a field's value as text."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
