"""All that is shown of a circuit."""

from dataclasses import asdict, dataclass
from typing import Any

from qweft.circuit.counts import Counts, counts
from qweft.devices.compilation import Compilation
from qweft.hardware.look.saved import SavedCircuit
from qweft.hardware.look.tokens import TokenValues


@dataclass(frozen=True)
class Look:
    """A circuit looked at.

    Args:
        adapter: Folder of the adapter.
        saved: The circuit with its angles.
        text: The text whose tokens were run.
        tokens: What the circuit makes of them.
        bound: The token whose c went into what was compiled and exported; none leaves c open.
        compilation: What it takes on a chip.
        files: What was written.
    """

    adapter: str
    saved: SavedCircuit
    text: str | None = None
    tokens: tuple[TokenValues, ...] = ()
    bound: TokenValues | None = None
    compilation: Compilation | None = None
    files: tuple[str, ...] = ()

    @property
    def written(self) -> Counts:
        """The size of the circuit as it is written."""
        return counts(self.saved.circuit)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it; numbers with all their digits."""
        saved, circuit = self.saved, self.saved.circuit
        return {
            "adapter": self.adapter,
            "layer": saved.layer,
            "core": saved.core,
            "circuit": {
                "qubits": circuit.qubits,
                "layers": saved.layers,
                "inputs": circuit.inputs,
                "gates": [asdict(gate) for gate in circuit.gates],
            },
            "angles": saved.angles.tolist(),
            "angles_trained": saved.is_trained,
            "dead_angles": list(circuit.dead_parameters()),
            "written": self.written.to_json(),
            "compiled": None if self.compilation is None else self.compilation.to_json(),
            "text": self.text,
            "tokens": [token.to_json() for token in self.tokens],
            "bound_token": None if self.bound is None else self.bound.place,
            "files": list(self.files),
        }
