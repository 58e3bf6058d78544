"""The configuration of a QWTHN adapter."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from peft import PeftConfig

from qweft.adapter.checks import (
    answers_lora_names,
    check_expression,
    check_number,
    check_whole,
    closest,
    instead_of,
    shown,
)
from qweft.adapter.cores import CORES, form_of, function_of, has_circuit
from qweft.adapter.fixed_maps import COMPRESS, EXPAND, BasisMap
from qweft.adapter.presets import PRESETS
from qweft.adapter.resolved import ResolvedConfig, resolve
from qweft.errors import QweftError
from qweft.internals.peft import add_peft_type


def peft_type() -> Any:
    """The member `PeftType.QWTHN`, made on the first call."""
    return add_peft_type("QWTHN")


Basis = Literal["gradient", "weight", "random"]
Start = Literal["recorded", "scaled"]
Bias = Literal["none", "all", "qwthn_only"]
BASES = get_args(Basis)
CHOICES = {
    "compress": tuple(COMPRESS),
    "expand": tuple(EXPAND),
    "core": CORES,
    "start": get_args(Start),
    "bias": get_args(Bias),
}
LARGEST_RANK = 12
"""More qubits take 2^r amplitudes for every token, and the engine's tables for one circuit would take gigabytes."""
LARGEST_WIDTH = 2**16
"""Far beyond any layer's size; larger ones take long to factorise."""
MOST_LAYERS = 1024
"""Of a circuit, whose gates are listed one by one; r are on record."""
MOST_PADDING = 16
"""Times a size that the product of the config's own modes may be: matrices of the padded size are built."""


@answers_lora_names
@dataclass
class QwthnConfig(PeftConfig):
    """A frozen linear layer W0 gets a branch that compresses, weights with a circuit, and expands.

        c = C(dropout(x)),   h = core(c),   y = W0 x + (alpha / r) E(h)

    Every derived structure (modes, padding, circuit) is a pure function of these fields and the layer's sizes.

    Args:
        r: Rank: width of c and h, and number of qubits unless `qubits` says otherwise.
        compress: C, d_in -> r. "mpo": a matrix product operator d_in -> width and a linear map width -> r; "dense": one
            linear map; "basis": a fixed orthonormal basis of r directions, which is not trained; "subspace": such a
            basis of `width` directions (of all, where a layer has fewer) and a linear map between them and r. None has
            a bias.
        core: "identity": h = c; "linear": h = K c; "quantum": h = Q q(c); "quantum_linear": h = Q q(c) + K c;
            "quantum_weighted": h = q(c) * c; "quantum_gated": h = (1 + Q q(t)) * c with Q zero at the start and t the
            entries of c that the circuit reads over sqrt(U) times their rms, U uploads. K is r x r, Q is r x qubits, q
            is the circuit's expectation of Z on each qubit. With "mlp", "fourier", "frozen" or "product" in the place
            of "quantum" ("mlp_linear") a twin stands in the place of q: a small perceptron, a classical function with
            the circuit's frequencies, the circuit with its random angles not trained, the circuit without its CRZ gates
            (`qweft.adapter.functions`).
        expand: E, r -> d_out, as compress; or "sparse": a linear map to `share` of the layer's outputs, chosen before
            the training. With "basis" E is not zero, so K and Q start at zero instead; the core must have one of them.
        basis: The directions of a "basis" or "subspace", and the outputs of "sparse". `None` means "gradient": the
            leading singular directions, and the longest rows, of the loss's gradient with respect to W0, found on
            training rows by `qweft.find_bases` before the first step; "weight": those of W0 itself; "random": random
            ones, as a control.
        qubits: The circuit reads the first so many entries of c. `None` means all r. A twin in its place as well.
        alpha: The branch is scaled by alpha / r. `None` means 2 r.
        dropout: Probability of zeroing an entry of x in training.
        width: Inner width of the matrix product operators; directions of a subspace.
        share: Of a layer's outputs, those that a sparse map writes to.
        bond_dimension: Bond dimension of the matrix product operators.
        modes: The factors of a size, where yours should replace the rule's: {"576": [6, 6, 4, 4]}.
        circuit_layers: Layers L of the circuit. `None` means as many as qubits.
        reupload: Upload the input before every layer of the circuit, or once.
        fourier_terms: Products that each output of the fourier twin adds up. `None` means as many as bring its
            coefficients nearest in number to the circuit's angles. (2 L + 1)^(r - 1) of them are every series.
        start: "recorded": as in the method's public record; "scaled": c of rms 1 / sqrt(L) for an x of rms 1 (1 without
            a circuit, or with one upload), circuit angles within pi/4 of zero, Q = identity and K = identity over the
            rms of c, and a last core of E whose changes change E as those of LoRA's second matrix do. Either leaves the
            base model exactly as it is.
        init_weights: False starts E at random too, so that the branch is not zero (for tests).
        target_modules: Names, or a regular expression, of the layers to adapt. `None` means PEFT's default for LoRA on
            this kind of model (q_proj and v_proj on most).
        exclude_modules: Names, or a regular expression, of layers to leave alone.
        layers_to_transform: Indices of the model's blocks to adapt. `None` means all.
        layers_pattern: Name of the list of blocks, where it is unusual.
        rank_pattern: Ranks of layers that differ: {"v_proj": 4}.
        alpha_pattern: Alphas of layers that differ.
        modules_to_save: Names of further modules to train and save whole.
        bias: Which biases of the base model are trained with the adapter: "none", "all", or those of the adapted layers
            ("qwthn_only"). They are the base model's own: disabling the adapter does not bring the old ones back.
        trainable_token_indices: Tokens whose embeddings are trained, as a list, or by module: {"embed_tokens": [5, 6]}.

    Raises:
        QweftError: If a value is of the wrong type or out of range, or fields contradict each other.

    Source: arXiv 2503.12790, read as docs/method.md says; presets by `QwthnConfig.preset`.
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
    qubits: int | None = field(default=None, metadata={"help": "Entries of c that the circuit reads; None means r."})
    share: float = field(default=0.32, metadata={"help": "Share of a layer's outputs that a sparse map writes to."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = peft_type()
        _check(self)
        self.rank_pattern, self.alpha_pattern = self.rank_pattern or {}, self.alpha_pattern or {}
        # PEFT matches module names in a set, and saves it as a list
        if isinstance(self.target_modules, list | tuple):
            self.target_modules = set(self.target_modules)  # type: ignore[assignment]
        if isinstance(self.exclude_modules, list | tuple):
            self.exclude_modules = set(self.exclude_modules)  # type: ignore[assignment]

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "QwthnConfig":
        """A named member of the family, with any fields changed.

            QwthnConfig.preset("qtha", r=8, target_modules=["q_proj", "v_proj"])

        Raises:
            QweftError: If there is no such preset or field, or a value is wrong.
        """
        if name not in PRESETS:
            raise QweftError(f"there is no preset {name!r}{closest(name, PRESETS)}; presets: {', '.join(PRESETS)}")
        known = [entry.name for entry in fields(cls) if entry.init]
        for key in changes:
            if key not in known:
                instead = instead_of(key)
                way = f": {instead}" if instead else f"{closest(key, known)}; fields: {', '.join(known)}"
                raise QweftError(f"QwthnConfig has no field {key!r}{way}")
        return cls(**{**PRESETS[name], **changes})

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:
        """As PEFT's, to a private repository unless `private` says otherwise."""
        return super().push_to_hub(repo_id, **{**kwargs, "private": kwargs.get("private") is not False})

    def resolved(self, r: int | None = None, alpha: float | None = None) -> ResolvedConfig:
        """What every `None` means on a layer of rank r and this alpha. `None` here means the config's own."""
        return resolve(vars(self), r, alpha)

    @property
    def is_linear(self) -> bool:
        """Whether the branch is a linear map of x, so that there is a weight to merge."""
        return function_of(self.core) is None

    @property
    def has_fixed_map(self) -> bool:
        """Whether directions or outputs of C or E are found before training, and not trained."""
        return issubclass(COMPRESS[self.compress], BasisMap) or issubclass(EXPAND[self.expand], BasisMap)


def _check_types(config: QwthnConfig) -> None:
    for name in ("modes", "rank_pattern", "alpha_pattern"):
        value = getattr(config, name)
        if value is not None and not isinstance(value, dict):
            raise QweftError(f"{name} must map names to values, as {{name: value}}, got {shown(value)}")
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = getattr(config, name)
        named = isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value)
        if value is not None and not named and not (isinstance(value, str) and name != "modules_to_save"):
            raise QweftError(f"{name} must be a list of names, as [q_proj, v_proj], got {shown(value)}")
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        if isinstance(value := getattr(config, name), str):
            check_expression(name, value)
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, name) or {}:
            check_expression(name, pattern)
    mapping = config.auto_mapping
    if mapping is not None and not (isinstance(mapping, dict) and all(isinstance(v, str) for v in mapping.values())):
        raise QweftError(f"auto_mapping must name the base model's class and library, got {shown(mapping)}")
    chosen = config.trainable_token_indices
    for tokens in chosen.values() if isinstance(chosen, dict) else [] if chosen is None else [chosen]:
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise QweftError(
                f"trainable_token_indices must be a list of token ids, or lists by module, got {shown(chosen)}"
            )
    blocks = config.layers_to_transform
    if blocks is not None and not all(type(item) is int for item in (blocks if isinstance(blocks, list) else [blocks])):
        raise QweftError(f"layers_to_transform must be a block number or a list of them, got {shown(blocks)}")


def _check(config: QwthnConfig) -> None:
    """Every field by itself, then the fields together.

    Raises:
        QweftError: Naming the field, the value, and what it may be.
    """
    _check_types(config)
    for name, allowed in CHOICES.items():
        value = getattr(config, name)
        if value not in allowed:
            raise QweftError(
                f"{name} must be one of {', '.join(allowed)}, got {shown(value)}{closest(str(value)[:80], allowed)}"
            )
    for name in ("r", "width", "bond_dimension"):
        check_whole(name, getattr(config, name))
    if config.qubits is not None:
        check_whole("qubits", config.qubits)
        if function_of(config.core) is None:
            raise QweftError(
                f"qubits {config.qubits} does nothing with core {config.core!r}, which has no circuit; leave it out"
            )
        if config.qubits > (most := max([config.r, *(config.rank_pattern or {}).values()])):
            raise QweftError(
                f"qubits must be at most r, got {config.qubits} with r = {most}; a circuit reads entries of c"
            )
    if config.basis not in (None, *BASES):
        raise QweftError(
            f"basis must be one of {', '.join(BASES)}, got {config.basis!r}{closest(str(config.basis), BASES)}"
        )
    if config.fourier_terms is not None:
        check_whole("fourier_terms", config.fourier_terms)
        if function_of(config.core) != "fourier":
            raise QweftError(
                f"fourier_terms {config.fourier_terms} does nothing with core {config.core!r}; leave it out, or take a "
                "core of the fourier twin: fourier, fourier_linear, fourier_weighted, fourier_gated"
            )
    if config.width > LARGEST_WIDTH:
        raise QweftError(f"width must be at most {LARGEST_WIDTH}, got {config.width}; 256 is on record")
    if config.circuit_layers is not None:
        check_whole("circuit_layers", config.circuit_layers)
        if config.circuit_layers > MOST_LAYERS:
            raise QweftError(f"circuit_layers must be at most {MOST_LAYERS}, got {config.circuit_layers}")
    if config.alpha is not None:
        check_number("alpha", config.alpha)
    check_number("share", config.share)
    if not 0 < config.share <= 1:
        raise QweftError(f"share must be above 0 and at most 1, got {config.share}: of a layer's outputs")
    check_number("dropout", config.dropout)
    if not 0 <= config.dropout < 1:
        raise QweftError(f"dropout must be at least 0 and below 1, got {config.dropout}")
    for name in ("reupload", "init_weights"):
        if not isinstance(getattr(config, name), bool):
            raise QweftError(f"{name} must be true or false, got {shown(getattr(config, name))}")
    for pattern, rank in (config.rank_pattern or {}).items():
        check_whole(f"rank_pattern[{pattern!r}]", rank)
    for pattern, alpha in (config.alpha_pattern or {}).items():
        check_number(f"alpha_pattern[{pattern!r}]", alpha)
    _check_together(config)


def _check_basis(config: QwthnConfig) -> None:
    if config.basis is not None and not config.has_fixed_map:
        raise QweftError(
            f"basis {config.basis!r} does nothing with compress {config.compress!r} and expand {config.expand!r}; set "
            "one of them to basis or subspace, or expand to sparse, or leave it out"
        )
    if EXPAND[config.expand].is_fixed and (config.core == "identity" or form_of(config.core) in ("weighted", "gated")):
        raise QweftError(
            f"expand {config.expand!r} does not start at zero, and core {config.core!r} has no matrix that would make "
            "the branch zero; take a core that has one: linear, quantum or quantum_linear, or a twin's; or expand "
            "'subspace'"
        )


def _check_together(config: QwthnConfig) -> None:
    ranks = [config.r, *(config.rank_pattern or {}).values()]
    qubits = config.resolved(max(ranks)).qubits
    if function_of(config.core) and qubits > LARGEST_RANK:
        raise QweftError(
            f"r = {max(ranks)} means a circuit of {qubits} qubits and 2^{qubits} amplitudes for every token"
            f"{'' if has_circuit(config.core) else ', which core ' + config.core + ' would stand in for'}; "
            f"use r, or qubits, of at most {LARGEST_RANK} with core {config.core!r}, or core 'linear'"
        )
    _check_basis(config)
    for size, modes in (config.modes or {}).items():
        if not str(size).isdecimal() or not isinstance(modes, list) or not all(type(mode) is int for mode in modes):
            raise QweftError(
                f"modes must map sizes to lists of factors, as {{'576': [6, 6, 4, 4]}}, got "
                f"{shown(size)}: {shown(modes)}"
            )
        if math.prod(modes) > MOST_PADDING * max(int(size), 4096):
            raise QweftError(
                f"modes {str(modes)[:80]} pad size {size} to {math.prod(modes):,}; choose factors whose product is "
                "little above it"
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
