"""The fields of a QWTHN adapter's config, with their defaults and checks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from qweft.core.errors import QweftError
from qweft.core.text import short_repr
from qweft.method.checks import check_expression, check_number, check_shared, check_whole, closest
from qweft.method.names import COMPRESS, CORES, EXPAND, form_of, function_of, unread
from qweft.method.presets import learning_rate_hint
from qweft.method.resolved import ANSATZES, RECORDED, ResolvedConfig, resolve

Basis = Literal["gradient", "weight", "random"]
Start = Literal["recorded", "small", "scaled"]
Bias = Literal["none", "all", "qwthn_only"]
LEAST_LIMIT, FACTOR_LIMIT = 10, 100.0
"""The default is far above trained adapters: no entry of a factor exceeded 5 there (research/LOG.md)."""
CHOICES: dict[str, tuple[Any, ...]] = {
    "compress": tuple(COMPRESS),
    "expand": tuple(EXPAND),
    "core": CORES,
    "start": get_args(Start),
    "bias": get_args(Bias),
    "basis": (*get_args(Basis), None),
    "basis_bits": (1, 2, 4, 8, 16),
    "reupload": (True, False),
    "init_weights": (True, False),
}
WHOLE = {
    "r": 2**13,
    "width": 2**16,
    "bond_dimension": 2**10,
    "qubits": 2**13,
    "fourier_terms": 2**12,
    "circuit_layers": 2**10,
}
"""Fields that are whole numbers from 1 on, with their largest values, by which a config takes no absurd memory."""
MOST_QUBITS = 12
"""Largest number of qubits: a token takes 2^qubits amplitudes, and more would need tables of gigabytes per circuit."""
MOST_PADDING = 16
"""Largest ratio of a padded size to the size, or to 4096 if larger: matrices of the padded size are built."""


@dataclass
class QwthnFields:
    """The fields of `QwthnConfig`, where they are described, without those of PEFT.

    Raises:
        QweftError: If a value has the wrong type or is out of range, or fields contradict each other.
    """

    r: int = 8
    compress: str = "mpo"
    core: str = "quantum_linear"
    expand: str = "mpo"
    alpha: float | None = None
    dropout: float = 0.0
    width: int = 256
    bond_dimension: int = 8
    modes: dict[str, list[int]] | None = None
    circuit: str = RECORDED
    circuit_layers: int | None = None
    reupload: bool = True
    fourier_terms: int | None = None
    start: Start = "small"
    init_weights: bool = True
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: str | None = None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    modules_to_save: list[str] | None = None
    bias: Bias = "none"
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    basis: Basis | None = None
    basis_bits: int = 16
    qubits: int | None = None
    share: float = 0.32
    factor_limit: float | None = FACTOR_LIMIT

    def __post_init__(self) -> None:
        _check_values(vars(self))
        _check_together(self)
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
        return any(EXPAND[side] != "whole" for side in (self.compress, self.expand))


def _check_values(values: Mapping[str, Any]) -> None:
    """Check the type and the range of each field."""
    check_shared(values)
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        if isinstance(values[name], str):
            check_expression(name, values[name])
    for name, allowed in CHOICES.items():
        value = values[name]
        if type(value) not in map(type, allowed) or value not in allowed:
            known = [str(each) for each in allowed]
            near = closest(str(value)[:80], known)
            raise QweftError(f"{name} must be one of {', '.join(known)}, got {short_repr(value)}{near}")
    for name, most in WHOLE.items():
        if values[name] is not None or name in ("r", "width", "bond_dimension"):
            check_whole(name, values[name], most)
    for name, in_range, words in (
        ("alpha", lambda value: True, ""),
        ("factor_limit", lambda value: value >= LEAST_LIMIT, f"at least {LEAST_LIMIT}, or null for no limit"),
        ("share", lambda value: 0 < value <= 1, "above 0 and at most 1"),
        ("dropout", lambda value: 0 <= value < 1, "at least 0 and below 1"),
    ):
        if values[name] is not None or name in ("share", "dropout"):
            check_number(name, values[name])
            if not in_range(values[name]):
                raise QweftError(f"{name} must be {words}, got {values[name]}")
    for pattern, rank in (values["rank_pattern"] or {}).items():
        check_whole(f"rank_pattern[{pattern!r}]", rank, WHOLE["r"])
    for pattern, alpha in (values["alpha_pattern"] or {}).items():
        check_number(f"alpha_pattern[{pattern!r}]", alpha)
    if not isinstance(values["circuit"], str):
        raise QweftError(f"circuit must be a name or a file, got {short_repr(values['circuit'])}")
    if values["modes"] is not None and not isinstance(values["modes"], dict):
        raise QweftError(f"modes must map sizes to lists of factors, got {short_repr(values['modes'])}")
    for size, modes in (values["modes"] or {}).items():
        if not str(size).isdecimal() or not isinstance(modes, list) or not all(type(mode) is int for mode in modes):
            raise QweftError(
                f"modes must map sizes to lists of factors, as {{'576': [6, 6, 4, 4]}}, got "
                f"{short_repr(size)}: {short_repr(modes)}"
            )
        if math.prod(modes) > MOST_PADDING * max(int(size), 4096):
            raise QweftError(
                f"modes {short_repr(modes)} pad size {size} far beyond it; choose factors whose product is little "
                "above it"
            )


def _check_together(config: QwthnFields) -> None:
    """Check fields that mean something only with others."""
    ignored = unread(vars(config))
    for name in ("qubits", "fourier_terms", "basis", "circuit"):
        if name in ignored and (value := getattr(config, name)) not in (None, RECORDED):
            raise QweftError(
                f"{name} {short_repr(value)} does nothing with core {config.core!r}, compress {config.compress!r} and "
                f"expand {config.expand!r}; leave it out"
            )
    r = max([config.r, *(config.rank_pattern or {}).values()])
    if config.qubits is not None and config.qubits > r:
        raise QweftError(f"qubits must be at most r, got {config.qubits} with r = {r}; a circuit reads entries of c")
    at = config.resolved(r)
    if not config.is_linear and at.qubits > MOST_QUBITS:
        raise QweftError(
            f"r = {r} means a circuit of {at.qubits} qubits and 2^{at.qubits} amplitudes for every token; use r, or "
            f"qubits, of at most {MOST_QUBITS} with core {config.core!r}, or core 'linear'"
        )
    if config.circuit != RECORDED and not config.reupload:
        raise QweftError("reupload false is of the recorded circuit alone; leave it out")
    if config.circuit not in ANSATZES:
        if "OPENQASM" not in config.circuit:
            raise QweftError(
                f"circuit must be one of {', '.join(ANSATZES)}, or a program in OpenQASM 3, got "
                f"{short_repr(config.circuit)}"
            )
        if config.circuit_layers is not None:
            raise QweftError("circuit_layers does nothing with a circuit of a file; leave it out")
        if at.ansatz.qubits > MOST_QUBITS:
            raise QweftError(f"the circuit has more than {MOST_QUBITS} qubits; take fewer")
    if EXPAND[config.expand] == "nothing" and form_of(config.core) in ("identity", "weighted", "gated"):
        raise QweftError(
            f"expand {config.expand!r} does not start at zero, and core {config.core!r} has no matrix that would make "
            "the branch zero; take a core that has one: linear, quantum or quantum_linear, or expand 'subspace'"
        )
    if isinstance(config.target_modules, str) and config.layers_to_transform is not None:
        raise QweftError(
            f"layers_to_transform picks blocks from a list of module names, but target_modules is the expression "
            f"{config.target_modules!r}; put the block numbers into the expression, or give a list of names"
        )
    if config.layers_pattern and config.layers_to_transform is None:
        raise QweftError(
            f"layers_pattern {config.layers_pattern!r} does nothing without layers_to_transform; give both"
        )
