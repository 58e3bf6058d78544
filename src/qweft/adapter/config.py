"""The configuration of a QWTHN adapter."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from peft import PeftConfig

from qweft.adapter.checks import check_config, closest
from qweft.adapter.lora_names import answers_lora_names, instead_of
from qweft.adapter.peft_type import peft_type
from qweft.adapter.presets import PRESETS
from qweft.errors import QweftError


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
        basis: The directions of a "basis" or "subspace", and the outputs of "sparse". "gradient" (none means this): the
            leading singular directions, and the longest rows, of the loss's gradient with respect to W0, found on
            training rows by `qweft.find_bases` before the first step; "weight": those of W0 itself; "random": random
            ones, as a control.
        qubits: The circuit reads the first so many entries of c; none means all r. A twin in its place as well.
        alpha: The branch is scaled by alpha / r; none means 2 r.
        dropout: Probability of zeroing an entry of x in training.
        width: Inner width of the matrix product operators; directions of a subspace.
        share: Of a layer's outputs, those that a sparse map writes to.
        bond_dimension: Bond dimension of the matrix product operators.
        modes: The factors of a size, where yours should replace the rule's: {"576": [6, 6, 4, 4]}.
        circuit_layers: Layers L of the circuit; none means as many as qubits.
        reupload: Upload the input before every layer of the circuit, or once.
        fourier_terms: Products that each output of the fourier twin adds up; none means as many as bring its
            coefficients nearest in number to the circuit's angles. (2 L + 1)^(r - 1) of them are every series.
        start: "recorded": as in the method's public record; "scaled": c of rms 1 / sqrt(L) for an x of rms 1 (1 without
            a circuit, or with one upload), circuit angles within pi/4 of zero, Q = identity and K = identity over the
            rms of c, and a last core of E whose changes change E as those of LoRA's second matrix do. Either leaves the
            base model exactly as it is.
        init_weights: False starts E at random too, so that the branch is not zero (for tests).
        target_modules: Names, or a regular expression, of the layers to adapt; none means PEFT's default for LoRA on
            this kind of model (q_proj and v_proj on most).
        exclude_modules: Names, or a regular expression, of layers to leave alone.
        layers_to_transform: Indices of the model's blocks to adapt; none means all.
        layers_pattern: Name of the list of blocks, where it is unusual.
        rank_pattern: Ranks of layers that differ: {"v_proj": 4}.
        alpha_pattern: Alphas of layers that differ.
        modules_to_save: Names of further modules to train and save whole.
        bias: Which biases of the base model are trained with the adapter: "none", "all", or those of the adapted layers
            ("qwthn_only"). They are the base model's own: disabling the adapter does not bring the old ones back.
        trainable_token_indices: Tokens whose embeddings are trained, as a list, or by module: {"embed_tokens": [5, 6]}.

    Raises:
        QweftError: If a value is of the wrong type or out of range, or fields contradict each other.

    Source: arXiv 2503.12790, read as METHOD.md says; presets by `QwthnConfig.preset`.
    """

    r: int = field(default=8, metadata={"help": "Rank: width of the core, and of its circuit."})
    compress: Literal["mpo", "dense", "basis", "subspace"] = field(default="mpo", metadata={"help": "Map d_in -> r."})
    core: str = field(default="quantum_linear", metadata={"help": "Map r -> r."})
    expand: Literal["mpo", "dense", "basis", "subspace", "sparse"] = field(
        default="mpo", metadata={"help": "Map r -> d_out."}
    )
    alpha: float | None = field(default=None, metadata={"help": "The branch is scaled by alpha / r; none means 2 r."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout probability of the branch's input."})
    width: int = field(default=256, metadata={"help": "Inner width of the matrix product operators."})
    bond_dimension: int = field(default=8, metadata={"help": "Bond dimension of the matrix product operators."})
    modes: dict[str, list[int]] | None = field(
        default=None, metadata={"help": "Factors of sizes: {'576': [6, 6, 4, 4]}."}
    )
    circuit_layers: int | None = field(default=None, metadata={"help": "Layers of the circuit; none means its qubits."})
    reupload: bool = field(default=True, metadata={"help": "Upload the input before every layer, or once."})
    fourier_terms: int | None = field(default=None, metadata={"help": "Products that the fourier twin adds up."})
    start: Literal["recorded", "scaled"] = field(default="recorded", metadata={"help": "How the weights start."})
    init_weights: bool = field(default=True, metadata={"help": "False starts with a branch that is not zero."})
    target_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers to adapt."})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers to leave alone."})
    layers_to_transform: list[int] | int | None = field(default=None, metadata={"help": "Indices of blocks to adapt."})
    layers_pattern: str | None = field(default=None, metadata={"help": "Name of the list of blocks."})
    rank_pattern: dict[str, int] = field(default_factory=dict, metadata={"help": "Ranks of layers that differ."})
    alpha_pattern: dict[str, float] = field(default_factory=dict, metadata={"help": "Alphas of layers that differ."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Further modules to train whole."})
    bias: Literal["none", "all", "qwthn_only"] = field(default="none", metadata={"help": "Biases to train along."})
    trainable_token_indices: list[int] | dict[str, list[int]] | None = field(
        default=None, metadata={"help": "Tokens whose embeddings are trained."}
    )
    basis: Literal["gradient", "weight", "random"] | None = field(
        default=None,
        metadata={"help": "Directions and outputs of maps that are not trained whole; none means gradient."},
    )
    qubits: int | None = field(default=None, metadata={"help": "Entries of c that the circuit reads; none means r."})
    share: float = field(default=0.32, metadata={"help": "Share of a layer's outputs that a sparse map writes to."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = peft_type()
        check_config(self)
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

    def qubits_on(self, r: int) -> int:
        """Qubits of the circuit on a layer of rank r."""
        return min(self.qubits or r, r)

    def depth_on(self, r: int) -> int:
        """Layers of the circuit on a layer of rank r."""
        return self.circuit_layers or self.qubits_on(r)

    @property
    def is_linear(self) -> bool:
        """Whether the branch is a linear map of x, so that there is a weight to merge."""
        return self.core in ("identity", "linear")
