"""What a method is: a LoRA, a hybrid with a circuit, a control without one."""

from typing import Any, Literal

from qweft.adapter.presets import PRESETS

Kind = Literal["base", "lora", "hybrid", "no_circuit", "twin", "other"]

CLASSICAL_TWINS = ("mlp", "fourier")
"""Functions that a classical computer has for itself, in the place of the circuit."""

ALTERED_CIRCUITS = ("frozen", "product")
"""The circuit with its random angles not trained, and without entanglement."""

FUNCTIONS = ("quantum", *CLASSICAL_TWINS, *ALTERED_CIRCUITS)
"""What a core may make of c; a core's name is one of these and its form: "mlp_linear" is h = Q mlp(c) + K c."""


def kind_of(method: str, adapter: dict[str, Any] | None) -> Kind:
    """The kind of a method, from its adapter's specification, or from its name where there is none.

    Args:
        method: Name of the method in the comparison.
        adapter: The specification as in the configuration ({"preset": "qtha", "r": 8}); none for the base model.

    Returns:
        "hybrid" has a circuit, "no_circuit" is such a network without it, "twin" one with a stand-in for it. A LoRA
        that is more than LoRA (`use_dora`) is "other".
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
    """The name of the core between the maps ("quantum_linear"); none where the method is not of this family.

    Args:
        method: Name of the method in the comparison.
        adapter: Its specification.
    """
    spec = _resolved(method, adapter)
    return str(spec.get("core", "quantum_linear")) if spec and _peft_type(spec) == "QWTHN" else None


def function_of(core: str) -> str | None:
    """The function in a core ("mlp" of "mlp_linear"); none where it has none ("identity", "linear")."""
    function = core.partition("_")[0]
    return function if function in FUNCTIONS else None


def form_of(core: str) -> str | None:
    """The form of a core with a function: "" (h = Q q(c)), "linear" (h = Q q(c) + K c) or "weighted" (h = q(c) * c)."""
    return core.partition("_")[2] if function_of(core) is not None else None


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


def _peft_type(spec: dict[str, Any]) -> str:
    """The kind of adapter, in capitals as PEFT has it."""
    return str(spec.get("peft_type", "QWTHN")).upper()
