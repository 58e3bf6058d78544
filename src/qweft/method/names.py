"""Names of maps, functions, cores and parts (classes in `qweft.adapter`), with facts by which configs are checked."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

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


class FunctionName(NamedTuple):
    """The role of a function of c in comparisons, and the config fields that not every function reads."""

    role: Role
    fields: tuple[str, ...] = ()


FUNCTIONS: dict[str, FunctionName] = {
    "quantum": FunctionName("circuit"),
    "mlp": FunctionName("classical"),
    "fourier": FunctionName("classical", ("fourier_terms",)),
    "frozen": FunctionName("altered"),
    "product": FunctionName("altered"),
    "bias": FunctionName("constant"),
}
"""The circuit and its controls, which show what the circuit contributes, by the name in that of a core."""


def has_role(role: Role) -> tuple[str, ...]:
    """Return the names of the functions with a role."""
    return tuple(name for name, function in FUNCTIONS.items() if function.role == role)


TWINS = tuple(name for name, function in FUNCTIONS.items() if function.role != "circuit")
"""The controls."""
CIRCUITS = tuple(name for name, function in FUNCTIONS.items() if function.role in ("circuit", "altered"))
"""Functions that run a circuit, whole or altered."""
FIELDS = tuple(dict.fromkeys(field for function in FUNCTIONS.values() for field in function.fields))
"""Config fields that not every function reads."""
OF_MAPS = {
    "width": ("mpo", "subspace"),
    "bond_dimension": ("mpo",),
    "modes": ("mpo",),
    "share": ("sparse",),
    "basis": ("basis", "subspace", "sparse"),
    "basis_bits": ("basis", "subspace", "sparse"),
}
"""Fields that only some maps read, with the names of these maps."""
OF_FUNCTIONS = ("circuit", "circuit_layers", "reupload", "qubits")
"""Fields that only cores with a function read."""
MAY_BE_UNREAD = (*OF_MAPS, *OF_FUNCTIONS, *FIELDS)
"""Fields that some adapters of this package do not read."""

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


def _name(function: str, form: str) -> str:
    return f"{function}_{form}" if form else function


CORES = (*WITHOUT_FUNCTION, *(_name(function, form) for function in FUNCTIONS for form in FORMS))
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
    """Return which of `MAY_BE_UNREAD` the maps and the core of an adapter do not read."""
    maps, function = {str(fields["compress"]), str(fields["expand"])}, function_of(str(fields["core"]))
    read = {name for name, readers in OF_MAPS.items() if maps.intersection(readers)}
    if function is not None:
        read.update(OF_FUNCTIONS, FUNCTIONS[function].fields if function in FUNCTIONS else ())
    return set(MAY_BE_UNREAD) - read
