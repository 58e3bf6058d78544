"""The configuration of a QWTHN adapter."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from peft import PeftConfig

from qweft.internals.peft import add_peft_type
from qweft.method.fields import QwthnFields
from qweft.method.presets import read_circuits, with_preset


def peft_type() -> Any:
    """Return the enum member `PeftType.QWTHN`; the first call creates it."""
    return add_peft_type("QWTHN")


@dataclass
class QwthnConfig(QwthnFields, PeftConfig):
    """Configuration of a QWTHN adapter: a frozen linear layer W0 gets a branch of three maps C, core and E.

        c = C(dropout(x)),   h = core(c),   y = W0 x + (alpha / r) E(h)

    x has d_in entries, c and h have r, y has d_out. The cores are

        identity            h = c
        linear              h = K c
        quantum             h = Q q(c)
        quantum_linear      h = Q q(c) + K c
        quantum_weighted    h = q(c) * c
        quantum_gated       h = (1 + Q q(t)) * c,   t = c / (sqrt(U) rms(c)),   Q = 0 at the start (I if scaled)

    K is r x r and Q r x qubits. q is the circuit's expectation of Z on each qubit, from the first `qubits` entries of
    c. t and rms(c) are of these entries, and quantum_weighted leaves the other entries of c as they are. U is the
    number of uploads: L with `reupload`, else 1.

    A classical control replaces q where "quantum" in a name becomes "mlp" (a small perceptron), "silu" (a perceptron
    without biases), "fourier" (a classical function with the circuit's frequencies), "frozen" (the circuit with
    untrained random angles), "product" (the circuit without its CRZ gates) or "bias" (trained numbers that ignore c),
    as in "mlp_linear". See `qweft.adapter.functions`.

    The scaled start gives c an rms of 1 / sqrt(U) for an x of rms 1 (U = 1 without a circuit). Circuit angles lie
    within pi/4 of zero. Q is the identity, and K the identity over the rms of c. A change of E's last core then changes
    E as much as a change of LoRA's second matrix does.

    The fields and the layer's sizes determine the modes, the padding and the circuit.

    Args:
        r: Rank: size of c and h, and number of qubits unless `qubits` is given.
        compress: Map C, d_in -> r, without bias. "mpo": a matrix product operator d_in -> `width` and a linear map to
            r; "dense": one linear map; "basis": r fixed orthonormal directions; "subspace": `width` of them and a
            trained linear map to r.
        core: Map r -> r: "identity", "linear", "quantum", "quantum_linear", "quantum_weighted" or "quantum_gated".
            "mlp", "silu", "fourier", "frozen", "product" or "bias" in place of "quantum" chooses a control.
        expand: Map E, r -> d_out, with the choices of `compress`, or "sparse": a linear map to a `share` of the
            outputs. With "basis" E is not zero at the start, so K and Q are; identity, weighted and gated cores, which
            do not start at zero then, are refused.
        basis: How fixed directions, and the outputs of "sparse", are chosen. `None` means "gradient": leading singular
            directions and longest rows of the loss's gradient with respect to W0, found by `qweft.find_bases` before
            the first step; "weight": those of W0; "random": random ones, as a control.
        basis_bits: Bits of a number of fixed directions, in memory and in the file: 1, 2, 4 or 8 (packed, see
            `qweft.adapter.packing`), or 16 (bfloat16). Below 16 the outputs of "sparse" take one bit each.
        qubits: Number of leading entries of c that the circuit, or its classical control, reads. `None` means r.
        alpha: The branch is scaled by alpha / r. `None` means 2 r.
        dropout: Probability of zeroing an entry of x in training.
        width: Inner width of the matrix product operators. Number of directions of a subspace, at most min(d_in,
            d_out).
        share: Fraction of a layer's outputs that "sparse" writes to, above 0 and at most 1.
        bond_dimension: Bond dimension of the matrix product operators.
        modes: Factors of a size that replace the default ones: {"576": [6, 6, 4, 4]}.
        circuit: "recorded": that of the method's public record; "hardware-efficient": RY, RZ and a ring of CNOTs, a
            choice of Qweft's; or the text of a program in OpenQASM 3 with `qubits` inputs c0, c1, ... and as many
            outputs, whose other names are trained. `preset` also takes the name of a file that ends in .qasm.
        circuit_layers: Number of circuit layers L. `None` means the number of qubits.
        reupload: Whether the circuit uploads its input before every layer, or once.
        fourier_terms: Number of products that each output of the Fourier control sums; (2 U + 1)^(qubits - 1) represent
            every series. `None` brings its number of coefficients nearest to the circuit's number of angles.
        factor_limit: Largest rms of the trained factors of C and E and of the two products, in standard deviations of
            the recorded start; above it a factor is scaled down as a whole. `None` means no limit.
        start: "small": cores with PyTorch's fan-in of four axes; "recorded": larger cores, as in the method's public
            record; "scaled": values of order 1 (see above). None changes the model's output at the start.
        init_weights: False also starts E at random, so that the branch is not zero (for tests).
        target_modules: Names, or a regular expression, of the layers to adapt. `None` means PEFT's default for LoRA on
            this model type (q_proj and v_proj on most).
        exclude_modules: Names, or a regular expression, of layers to leave alone.
        layers_to_transform: Indices of the model's blocks to adapt. `None` means all.
        layers_pattern: Name of the model's list of blocks, if it is unusual.
        rank_pattern: Ranks of layers that differ from r: {"v_proj": 4}.
        alpha_pattern: Alphas of layers that differ from alpha: {"v_proj": 8}.
        modules_to_save: Names of further modules to train and save whole.
        bias: Biases of the base model to train: "none", "all", or "qwthn_only" (those of the adapted layers). Disabling
            the adapter does not restore them.
        trainable_token_indices: Tokens whose embeddings are trained, as a list, or by module: {"embed_tokens": [5, 6]}.

    Raises:
        QweftError: If a value has the wrong type or is out of range, or fields contradict each other.

    Source: arXiv 2503.12790, as read in docs/method.md; presets by `QwthnConfig.preset`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        PeftConfig.__post_init__(self)
        self.peft_type = peft_type()

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "QwthnConfig":
        """Return the config of a preset, with any fields changed.

            QwthnConfig.preset("qtha", r=8, target_modules=["q_proj", "v_proj"])

        Args:
            name: A key of `qweft.presets()`.
            **changes: Fields that replace those of the preset.

        Raises:
            QweftError: If the preset or a field does not exist, or a value is wrong.
        """
        known = [entry.name for entry in fields(cls) if entry.init]
        return cls(**with_preset(name, read_circuits(changes), known))

    @classmethod
    def for_budget(cls, model: Any, numbers: int, **changes: Any) -> "QwthnConfig":
        """Return the preset `sparse` on all linear layers, with the largest share of outputs within a budget.

            QwthnConfig.for_budget(model, 5_000)

        The share is at most the preset's (docs/which-adapter.md says how it compares).

        Args:
            model: The base model, before any adapter.
            numbers: Most trained parameters.
            **changes: Fields that replace those of the preset.

        Raises:
            QweftError: As `preset`; or the budget is below what one output of each layer takes.
        """
        from qweft.adapter.budget import largest_share  # here, since it builds on this module

        return largest_share(model, numbers, cls.preset("sparse", **{"target_modules": "all-linear", **changes}))

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Save as PEFT does, and describe the adapter in the model card beside the config."""
        from qweft.adapter.saving import describe_in_card  # here, since it needs the maps

        super().save_pretrained(save_directory, **kwargs)
        describe_in_card(Path(save_directory), self)
