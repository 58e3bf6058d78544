"""What `qweft circuit` may be told."""

from dataclasses import dataclass, field
from typing import Literal

from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class CircuitConfig:
    """A look at one layer's circuit.

    Args:
        layer: The adapted layer, or the end of its name where only one layer ends so; none lists the layers.
        tokens: A text that the model runs on, as it stands (no chat template): shows what each token uploads and what
            is measured. Needs the base model.
        token: Number of the token, from 0, whose data an export is bound to.
        picture: A file that the circuit is drawn into: .svg, .png or .pdf.
        chip: Shows the circuit as compiled for it too: "origin-wukong", "ibm-torino", "ion-trap", or
            "qiskit:fake_NAME", a chip that qiskit-ibm-runtime has recorded.
        optimization_level: How hard Qiskit's compiler tries, 0 to 3.
        seed: Of Qiskit's compiler, which chooses at random where chips leave it a choice.
        export: The format that is written to `output`. OpenQASM 3 leaves the inputs open where no token is chosen; the
            others need one.
        output: The file of the export.
        model: The base model, where it is not the one the adapter names.
    """

    layer: str | None = None
    tokens: str | None = None
    token: int | None = None
    picture: str | None = None
    chip: str | None = None
    optimization_level: Literal[0, 1, 2, 3] = 3
    seed: int = 0
    export: Literal["qasm3", "qasm2", "originir"] | None = None
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
