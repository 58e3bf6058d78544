"""Names of maps, functions, cores and parts (classes in `qweft.adapter`), with facts by which configs are checked."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

Part = Literal["circuit", "tensor_network", "linear"]
"""The part of a branch that a parameter belongs to: each has its learning rate, gradient norm and count."""
PARTS: tuple[Part, ...] = get_args(Part)
OTHER = "other"
"""The part of all other parameters: another method's, biases, embeddings, heads."""
RATED = (*PARTS, OTHER)
"""Parts that can have a learning rate of their own."""

Trained = Literal["whole", "partly", "nothing"]
COMPRESS: dict[str, Trained] = {"mpo": "whole", "dense": "whole", "basis": "nothing", "subspace": "partly"}
EXPAND: dict[str, Trained] = {**COMPRESS, "sparse": "partly"}
"""Every map C and E by its name in a config, with what of it is trained."""

Role = Literal["circuit", "altered", "classical", "constant"]
"""A circuit of the method; or a control in its place: an altered circuit, a classical function, or a constant."""


FUNCTIONS: dict[str, Role] = {
    "quantum": "circuit",
    "mlp": "classical",
    "silu": "classical",
    "fourier": "classical",
    "frozen": "altered",
    "product": "altered",
    "bias": "constant",
}
"""The circuit and its controls, which show what the circuit contributes, by the name in that of a core."""


def has_role(*roles: Role) -> tuple[str, ...]:
    """Return the names of the functions with one of these roles."""
    return tuple(name for name, role in FUNCTIONS.items() if role in roles)


TWINS = has_role("classical", "altered", "constant")
"""The controls."""
CIRCUITS = has_role("circuit", "altered")
"""Functions that run a circuit, whole or altered."""
OF_FUNCTIONS = ("circuit", "circuit_layers", "reupload", "qubits")
"""Fields that only cores with a function read."""
READERS: dict[str, Iterable[str]] = {
    "width": ("mpo", "subspace"),
    "bond_dimension": ("mpo",),
    "modes": ("mpo",),
    "share": ("sparse",),
    "basis": ("basis", "subspace", "sparse"),
    "basis_bits": ("basis", "subspace", "sparse"),
    "fourier_terms": ("fourier",),
    **dict.fromkeys(OF_FUNCTIONS, FUNCTIONS),
}
"""Fields that some adapters do not read, with the maps and functions that do."""

FORMS = {
    "": "h = Q {f}(c)",
    "linear": "h = Q {f}(c) + K c",
    "weighted": "h = {f}(c) * c",
    "gated": "h = (1 + Q {f}(c / |c|)) * c",
}
"""Formulas of the forms in which a function f enters; |c| is sqrt(U) times the rms of the entries that f reads, U
uploads.
"""
WITHOUT_FUNCTION = {"identity": "h = c", "linear": "h = K c"}


CORES = (*WITHOUT_FUNCTION, *(f"{name}_{form}" if form else name for name in FUNCTIONS for form in FORMS))
"""Names of the cores: "quantum_linear" is the function "quantum" in the form "linear", h = Q q(c) + K c."""


def function_of(core: str) -> str | None:
    """Return the function of a core, as "quantum" of "quantum_linear"; `None` for "identity" and "linear"."""
    return None if core in WITHOUT_FUNCTION else core.partition("_")[0]


def form_of(core: str) -> str:
    """Return the form of a core: "", "linear", "weighted" or "gated"; for "identity" and "linear" their own names."""
    return core if core in WITHOUT_FUNCTION else core.partition("_")[2]


def has_circuit(core: str) -> bool:
    """Whether the core runs a circuit, trained or not."""
    return function_of(core) in CIRCUITS


def formula(core: str) -> str:
    """Return the core's formula, with q for the circuit and t for a classical control in its place."""
    if core in WITHOUT_FUNCTION:
        return WITHOUT_FUNCTION[core]
    return FORMS[form_of(core)].format(f="t" if function_of(core) in TWINS else "q")


def unread(fields: Mapping[str, Any]) -> set[str]:
    """Return the fields that the maps and the core of an adapter do not read."""
    present = {str(fields["compress"]), str(fields["expand"]), function_of(str(fields["core"]))}
    return {name for name, readers in READERS.items() if present.isdisjoint(readers)}
