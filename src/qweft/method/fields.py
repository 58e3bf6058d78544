"""The fields of a QWTHN adapter's config, with their defaults and checks."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from qweft.errors import QweftError
from qweft.method.checks import check_expression, check_number, check_shared, check_whole, closest
from qweft.method.names import COMPRESS, CORES, EXPAND, FUNCTIONS, form_of, function_of
from qweft.method.presets import learning_rate_hint
from qweft.method.resolved import ANSATZES, RECORDED, ResolvedConfig, resolve
from qweft.text import shown

Basis = Literal["gradient", "weight", "random"]
Start = Literal["recorded", "small", "scaled"]
Bias = Literal["none", "all", "qwthn_only"]
LEAST_LIMIT, FACTOR_LIMIT = 10, 100.0
"""The default is far above trained adapters: no entry of a factor exceeded 5 there (research/LOG.md)."""
BASIS_BITS = (1, 2, 4, 8, 16)
CHOICES = {
    "compress": tuple(COMPRESS),
    "expand": tuple(EXPAND),
    "core": CORES,
    "start": get_args(Start),
    "bias": get_args(Bias),
}
MOST_QUBITS = 12
"""Largest number of qubits: a token takes 2^qubits amplitudes, and more would need tables of gigabytes per circuit."""
MOST = {"width": 2**16, "circuit_layers": 1024}
"""Far beyond any layer's size, and beyond the recorded r layers: factors and gates are listed one by one."""
MOST_PADDING = 16
"""Largest ratio of a padded size to the size, or to 4096 if larger: matrices of the padded size are built."""


@dataclass
class QwthnFields:
    """The fields of `QwthnConfig`, where they are described, without those of PEFT.

    Raises:
        QweftError: If a value has the wrong type or is out of range, or fields contradict each other.
    """

    r: int = field(default=8, metadata={"help": "Rank: width of the core, and of its circuit."})
    compress: str = field(default="mpo", metadata={"help": "Map d_in -> r."})
    core: str = field(default="quantum_linear", metadata={"help": "Map r -> r."})
    expand: str = field(default="mpo", metadata={"help": "Map r -> d_out."})
    alpha: float | None = field(default=None, metadata={"help": "The branch is scaled by alpha / r; None means 2 r."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout probability of the branch's input."})
    width: int = field(default=256, metadata={"help": "Inner width of the matrix product operators."})
    bond_dimension: int = field(default=8, metadata={"help": "Bond dimension of the matrix product operators."})
    modes: dict[str, list[int]] | None = field(
        default=None, metadata={"help": "Factors of sizes: {'576': [6, 6, 4, 4]}."}
    )
    circuit: str = field(
        default=RECORDED,
        metadata={"help": "The circuit: recorded, hardware-efficient, or a file in OpenQASM 3 (.qasm)."},
    )
    circuit_layers: int | None = field(default=None, metadata={"help": "Layers of the circuit; None means its qubits."})
    reupload: bool = field(default=True, metadata={"help": "Upload the input before every layer, or once."})
    fourier_terms: int | None = field(default=None, metadata={"help": "Products that the fourier twin adds up."})
    start: Start = field(default="recorded", metadata={"help": "How the weights start."})
    init_weights: bool = field(default=True, metadata={"help": "False starts with a branch that is not zero."})
    target_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers to adapt."})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers to leave alone."})
    layers_to_transform: list[int] | int | None = field(default=None, metadata={"help": "Indices of blocks to adapt."})
    layers_pattern: str | None = field(default=None, metadata={"help": "Name of the list of blocks."})
    rank_pattern: dict[str, int] = field(default_factory=dict, metadata={"help": "Ranks of layers that differ."})
    alpha_pattern: dict[str, float] = field(default_factory=dict, metadata={"help": "Alphas of layers that differ."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Further modules to train whole."})
    bias: Bias = field(default="none", metadata={"help": "Biases to train along."})
    trainable_token_indices: list[int] | dict[str, list[int]] | None = field(
        default=None, metadata={"help": "Tokens whose embeddings are trained."}
    )
    basis: Basis | None = field(
        default=None,
        metadata={"help": "Directions and outputs of maps that are not trained whole; None means gradient."},
    )
    basis_bits: int = field(default=16, metadata={"help": "Bits of a number of fixed directions: 1, 2, 4, 8 or 16."})
    qubits: int | None = field(default=None, metadata={"help": "Entries of c that the circuit reads; None means r."})
    share: float = field(default=0.32, metadata={"help": "Share of a layer's outputs that a sparse map writes to."})
    factor_limit: float | None = field(
        default=FACTOR_LIMIT, metadata={"help": "Largest rms of a factor; not given means 100, None no limit."}
    )

    def __post_init__(self) -> None:
        _check(self)
        if self.modes:  # YAML reads 576 as a number, and JSON has names alone
            self.modes = {str(int(size)): modes for size, modes in self.modes.items()}
        self.rank_pattern, self.alpha_pattern = self.rank_pattern or {}, self.alpha_pattern or {}
        # PEFT matches names against a set, and saves it as a list
        if isinstance(self.target_modules, list | tuple):
            self.target_modules = set(self.target_modules)  # type: ignore[assignment]
        if isinstance(self.exclude_modules, list | tuple):
            self.exclude_modules = set(self.exclude_modules)  # type: ignore[assignment]

    def resolved(self, r: int | None = None, alpha: float | None = None) -> ResolvedConfig:
        """Return the config with a value for every `None` that has a default."""
        return resolve(vars(self), r, alpha)

    @property
    def learning_rate_hint(self) -> float | None:
        """The learning rate of a preset of this structure and start; `None` where there is none.

        For SmolLM2-135M (docs/method.md says which were searched); a wider model wants a lower one.
        """
        return learning_rate_hint(vars(self))

    @property
    def is_linear(self) -> bool:
        """Whether the branch is linear in x, so that it can be merged into a weight."""
        return function_of(self.core) is None

    @property
    def has_fixed_map(self) -> bool:
        """Whether C or E has untrained directions or outputs that are found before training."""
        return COMPRESS[self.compress] != "whole" or EXPAND[self.expand] != "whole"


def _check(config: QwthnFields) -> None:
    """Check each field, then the fields together."""
    _check_types(config)
    choices: dict[str, tuple[Any, ...]] = {**CHOICES, "basis": (None, *get_args(Basis)), "basis_bits": BASIS_BITS}
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise QweftError(
                f"{name} must be one of {', '.join(map(str, allowed))}, got {shown(value)}"
                f"{closest(str(value)[:80], map(str, allowed))}"
            )
    if type(config.basis_bits) is not int:
        raise QweftError(f"basis_bits must be one of 1, 2, 4, 8 and 16, got {shown(config.basis_bits)}")
    for name in ("r", "width", "bond_dimension", "qubits", "fourier_terms", "circuit_layers"):
        if (value := getattr(config, name)) is not None or name in ("r", "width", "bond_dimension"):
            check_whole(name, value)
    for name, most in MOST.items():
        if (value := getattr(config, name)) is not None and value > most:
            raise QweftError(f"{name} must be at most {most}, got {value}")
    for name in ("alpha", "factor_limit", "share", "dropout"):
        if (value := getattr(config, name)) is not None or name in ("share", "dropout"):
            check_number(name, value)
    if config.factor_limit is not None and config.factor_limit < LEAST_LIMIT:
        raise QweftError(
            f"factor_limit must be at least {LEAST_LIMIT}, got {config.factor_limit}, or null for no limit"
        )
    if not 0 < config.share <= 1:
        raise QweftError(f"share must be above 0 and at most 1, got {config.share}: of a layer's outputs")
    if not 0 <= config.dropout < 1:
        raise QweftError(f"dropout must be at least 0 and below 1, got {config.dropout}")
    for name in ("reupload", "init_weights"):
        if not isinstance(getattr(config, name), bool):
            raise QweftError(f"{name} must be true or false, got {shown(getattr(config, name))}")
    for pattern, rank in (config.rank_pattern or {}).items():
        check_whole(f"rank_pattern[{pattern!r}]", rank)
    for pattern, alpha in (config.alpha_pattern or {}).items():
        check_number(f"alpha_pattern[{pattern!r}]", alpha)
    _check_core(config)
    _check_circuit(config)
    _check_maps(config)
    if isinstance(config.target_modules, str) and config.layers_to_transform is not None:
        raise QweftError(
            f"layers_to_transform picks blocks from a list of module names, but target_modules is the expression "
            f"{config.target_modules!r}; put the block numbers into the expression, or give a list of names"
        )
    if config.layers_pattern and config.layers_to_transform is None:
        raise QweftError(
            f"layers_pattern {config.layers_pattern!r} does nothing without layers_to_transform; give both"
        )


def _check_types(config: QwthnFields) -> None:
    if config.modes is not None and not isinstance(config.modes, dict):
        raise QweftError(f"modes must map names to values, as {{name: value}}, got {shown(config.modes)}")
    check_shared(vars(config))
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        if isinstance(value := getattr(config, name), str):
            check_expression(name, value)
    mapping = getattr(config, "auto_mapping", None)  # a field of PEFT's
    if mapping is not None and not (isinstance(mapping, dict) and all(isinstance(v, str) for v in mapping.values())):
        raise QweftError(f"auto_mapping must name the base model's class and library, got {shown(mapping)}")


def _check_core(config: QwthnFields) -> None:
    """Check what the core's function reads, and the number of qubits."""
    function = function_of(config.core)
    fields = FUNCTIONS[function].fields if function else ()
    for name, is_read in (("qubits", function is not None), ("fourier_terms", "fourier_terms" in fields)):
        if (value := getattr(config, name)) is not None and not is_read:
            raise QweftError(f"{name} {value} does nothing with core {config.core!r}; leave it out")
    most = max([config.r, *(config.rank_pattern or {}).values()])
    if config.qubits is not None and config.qubits > most:
        raise QweftError(f"qubits must be at most r, got {config.qubits} with r = {most}; a circuit reads entries of c")
    qubits = config.resolved(most).qubits
    if function and qubits > MOST_QUBITS:
        raise QweftError(
            f"r = {most} means a circuit of {qubits} qubits and 2^{qubits} amplitudes for every token; use r, or "
            f"qubits, of at most {MOST_QUBITS} with core {config.core!r}, or core 'linear'"
        )


def _check_circuit(config: QwthnFields) -> None:
    if not isinstance(config.circuit, str):
        raise QweftError(f"circuit must be a name or a file, got {shown(config.circuit)}")
    if config.circuit == RECORDED:
        return
    if function_of(config.core) is None:
        raise QweftError(f"circuit does nothing with core {config.core!r}, which has none; leave it out")
    if config.circuit not in ANSATZES and "OPENQASM" not in config.circuit:
        raise QweftError(
            f"circuit must be one of {', '.join(ANSATZES)}, or a program in OpenQASM 3, got {shown(config.circuit)}"
        )
    if not config.reupload:
        raise QweftError("reupload false is of the recorded circuit alone; leave it out")
    if config.circuit not in ANSATZES:
        if config.circuit_layers is not None:
            raise QweftError("circuit_layers does nothing with a circuit of a file; leave it out")
        if config.resolved(max([config.r, *(config.rank_pattern or {}).values()])).ansatz.qubits > MOST_QUBITS:
            raise QweftError(f"the circuit has more than {MOST_QUBITS} qubits; take fewer")


def _check_maps(config: QwthnFields) -> None:
    if config.basis is not None and not config.has_fixed_map:
        raise QweftError(
            f"basis {config.basis!r} does nothing with compress {config.compress!r} and expand {config.expand!r}; set "
            "one of them to basis or subspace, or expand to sparse, or leave it out"
        )
    if EXPAND[config.expand] == "nothing" and form_of(config.core) in ("identity", "weighted", "gated"):
        raise QweftError(
            f"expand {config.expand!r} does not start at zero, and core {config.core!r} has no matrix that would make "
            "the branch zero; take a core that has one: linear, quantum or quantum_linear, or expand 'subspace'"
        )
    for size, modes in (config.modes or {}).items():
        if not str(size).isdecimal() or not isinstance(modes, list) or not all(type(mode) is int for mode in modes):
            raise QweftError(
                f"modes must map sizes to lists of factors, as {{'576': [6, 6, 4, 4]}}, got "
                f"{shown(size)}: {shown(modes)}"
            )
        if math.prod(modes) > MOST_PADDING * max(int(size), 4096):
            raise QweftError(
                f"modes {shown(modes)} pad size {size} far beyond it; choose factors whose product is little above it"
            )
