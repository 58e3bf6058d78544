"""The names of the cores: a function of r numbers, and how it enters.

    "quantum_linear"  =  the function "quantum" in the form "linear":  h = Q q(c) + K c

"identity" and "linear" have no function.
"""

FUNCTIONS = ("quantum", "mlp", "fourier", "frozen", "product")
"""The circuit, and its twins: what stands in its place to tell what the circuit does."""
TWINS = FUNCTIONS[1:]
CIRCUITS = ("quantum", "frozen", "product")
"""Functions that are circuits themselves."""
FORMS = {
    "": "h = Q {f}(c)",
    "linear": "h = Q {f}(c) + K c",
    "weighted": "h = {f}(c) * c",
    "gated": "h = (1 + Q {f}(c / |c|)) * c",
}
"""How a function f enters, with the formula; |c| is the rms of what it reads, times sqrt(U) of its uploads."""
WITHOUT_FUNCTION = {"identity": "h = c", "linear": "h = K c"}


def _name(function: str, form: str) -> str:
    return f"{function}_{form}" if form else function


CORES = (*WITHOUT_FUNCTION, *(_name(function, form) for function in FUNCTIONS for form in FORMS))


def function_of(core: str) -> str | None:
    """The function in a core: "quantum_linear" has "quantum"; none in "identity" and "linear"."""
    return None if core in WITHOUT_FUNCTION else core.partition("_")[0]


def form_of(core: str) -> str:
    """How the function enters: "", "linear", "weighted" or "gated"; for "identity" and "linear" their own names."""
    return core if core in WITHOUT_FUNCTION else core.partition("_")[2]


def has_circuit(core: str) -> bool:
    """Whether the core holds a circuit, trained or not."""
    return function_of(core) in CIRCUITS


def formula(core: str) -> str:
    """The core as a formula, with q for the circuit and t for what stands in its place."""
    if core in WITHOUT_FUNCTION:
        return WITHOUT_FUNCTION[core]
    return FORMS[form_of(core)].format(f="q" if function_of(core) == "quantum" else "t")
