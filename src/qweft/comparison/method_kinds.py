"""What a method is: a LoRA, a hybrid with a circuit, a control without one."""

from dataclasses import MISSING, fields
from typing import Any, Literal

from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import function_of
from qweft.adapter.presets import PRESETS
from qweft.adapter.resolved import resolve

Kind = Literal["base", "lora", "hybrid", "no_circuit", "twin", "other"]

CLASSICAL_CONTROLS = ("mlp", "fourier")
"""Classical functions in the place of the circuit; saved and typed as "twin"."""

ALTERED_CIRCUITS = ("frozen", "product")
"""The circuit with its random angles not trained, and without entanglement."""

NOT_COMPARED = ("core", "preset", "peft_type", "task_type", "fourier_terms")
"""Fields in which a control may differ: the core by intention, terms as only the Fourier control has them."""

OF_FUNCTIONS = ("circuit_layers", "reupload", "qubits")
"""Fields that mean nothing where a core has no function."""


def kind_of(method: str, adapter: dict[str, Any] | None) -> Kind:
    """The kind of a method, from its adapter's specification, or from its name where there is none.

    Args:
        method: Name of the method in the comparison.
        adapter: The specification as in the configuration ({"preset": "qtha", "r": 8}); `None` for the base model.

    Returns:
        "hybrid" has a circuit, "no_circuit" is such a network without it, "twin" has a control in the circuit's place.
        A LoRA that is more than LoRA (`use_dora`) is "other", and so is another package's adapter (`rival`).
    """
    if method == "base":
        return "base"
    spec = _resolved(method, adapter)
    if _peft_type(spec) == "LORA":
        return "other" if spec.get("use_dora") else "lora"
    core = core_of(method, adapter)
    if core is None:
        return "other"
    function = function_of(core)
    if function is not None:
        return "hybrid" if function == "quantum" else "twin"
    dense = spec.get("compress") == spec.get("expand") == "dense"
    return "lora" if dense and core == "identity" else "no_circuit"


def core_of(method: str, adapter: dict[str, Any] | None) -> str | None:
    """The name of the core between the maps ("quantum_linear"); `None` where the method is not of this family.

    Args:
        method: Name of the method in the comparison.
        adapter: Its specification.
    """
    spec = _resolved(method, adapter)
    return str(spec.get("core", "quantum_linear")) if _peft_type(spec) == "QWTHN" else None


def maps_of(method: str, adapter: dict[str, Any] | None) -> tuple[str, str] | None:
    """The kinds of map around the core ("mpo" or "dense"); `None` where the method is not of this family.

    Args:
        method: Name of the method in the comparison.
        adapter: Its specification.
    """
    spec = _resolved(method, adapter)
    if _peft_type(spec) != "QWTHN":
        return None
    return str(spec.get("compress", "mpo")), str(spec.get("expand", "mpo"))


def differences(adapter: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """In what an adapter of this family differs from another one besides its core: ["r (1, not 8)"].

    A field that is left out has its default. The circuit's fields count where both cores have a function.

    Args:
        adapter: A specification.
        other: Another one.
    """
    ours, theirs = _complete(adapter), _complete(other)
    left_out = set(NOT_COMPARED)
    if None in (function_of(ours["core"]), function_of(theirs["core"])):
        left_out.update(OF_FUNCTIONS)
    return [
        f"{key} ({_said(_meant(ours, key))}, not {_said(_meant(theirs, key))})"
        for key in dict.fromkeys((*ours, *theirs))
        if key not in left_out and ours.get(key) != theirs.get(key) and _meant(ours, key) != _meant(theirs, key)
    ]


def _complete(adapter: dict[str, Any]) -> dict[str, Any]:
    """The specification with its preset's fields and the defaults of all others."""
    defaults = {
        entry.name: entry.default if entry.default_factory is MISSING else entry.default_factory()
        for entry in fields(QwthnConfig)
    }
    return {**defaults, **_resolved("", adapter)}


def _meant(spec: dict[str, Any], key: str) -> Any:
    """What a field comes to: the number that none stands for, modules in any order."""
    value = spec.get(key)
    if key in ("alpha", "qubits", "circuit_layers", "basis"):
        return getattr(resolve(spec), key)
    return sorted(value) if isinstance(value, list) and key.endswith("_modules") else value


def _said(value: Any) -> str:
    """A field's value in a sentence."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _resolved(method: str, adapter: dict[str, Any] | None) -> dict[str, Any]:
    """The specification with its preset's fields; without one, those of the preset that the name begins with."""
    if adapter:
        named = str(adapter["preset"]) if "preset" in adapter else None
    else:
        named = next((name for name in PRESETS if f"{method}_".startswith(f"{name}_")), None)
    preset = {} if named is None else {"peft_type": "QWTHN", **PRESETS.get(named, {})}
    return {**preset, **(adapter or {})}


def _peft_type(spec: dict[str, Any]) -> str | None:
    """The kind of adapter, in capitals as PEFT has it; `None` for another package's."""
    return str(spec["peft_type"]).upper() if "peft_type" in spec else None
