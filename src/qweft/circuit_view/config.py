"""What of a trained circuit is to be shown, and what is to be written."""

from dataclasses import dataclass, field
from typing import Literal

from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class CircuitConfig:
    """The circuit of one layer of a trained adapter.

    Args:
        layer: The layer, which has to be named: its name, an end of its name (layers.3.self_attn.q_proj), or either
            with *, so that one layer is met.
        tokens: A text that runs through the base model with the adapter; for each token the circuit's inputs c and its
            expectation values q are shown. Without it no base model is loaded.
        token: Only this token of the text, counted from 0; its c go into what is compiled and exported.
        chip: Compile the circuit for this chip (all-to-all, line, lattice, ion-trap, or qiskit:fake_NAME) and count
            again.
        picture: A file for the drawing, ending in .svg, .png or .pdf.
        export: Write the circuit in this language to --output, with the trained angles as numbers; qasm3 leaves the
            inputs open where no --token is chosen, the others need one.
        output: The file of the export.
        model: The base model, where it differs from that of the run that trained the adapter.
    """

    layer: str = ""
    tokens: str | None = None
    token: int | None = None
    chip: str | None = None
    picture: str | None = None
    export: Literal["qasm3", "qasm2", "originir"] | None = None
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
