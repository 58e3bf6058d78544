"""Options of `qweft circuit`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from qweft.circuit.formats import names
from qweft.models.config import ModelConfig

if TYPE_CHECKING:
    Language = str
else:
    Language = Literal[names()]
"""Name of a text format in `qweft.circuit.formats`."""


@dataclass(frozen=True)
class CircuitConfig:
    """The circuit of one layer of a trained adapter.

    Args:
        layer: The layer: its name, an end of its name (layers.3.self_attn.q_proj), or either with *. It must match
            exactly one layer. Without it the first layer with a circuit is shown.
        tokens: Text to run through the base model with the adapter. The circuit's inputs c and expectation values q
            are shown for each token. Without it no base model is loaded.
        token: Show only this token of the text, counted from 0; its c are used for --chip and --export.
        chip: Compile the circuit for this chip (all-to-all, line, lattice, ion-trap, or qiskit:fake_NAME), and count
            the compiled gates too.
        picture: File for the drawing, ending in .svg, .png or .pdf.
        export: Write the circuit in this language to --output, with the trained angles as numbers. Without --token,
            qasm3 keeps the inputs as parameters; the other languages need --token.
        output: File of the export.
        model: The base model, where it differs from the training run.
    """

    layer: str = ""
    tokens: str | None = None
    token: int | None = None
    chip: str | None = None
    picture: str | None = None
    export: Language | None = None
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
