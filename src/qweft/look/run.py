"""`qweft circuit`: one layer's circuit of an adapter in a folder, drawn, counted, measured and exported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qweft.circuit.chips import Compiled, compile_for
from qweft.circuit.counts import Counts, count
from qweft.circuit.formats import to_originir, to_qasm2, to_qasm3
from qweft.circuit.picture import check_picture, save_picture
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.look.config import CircuitConfig
from qweft.look.layers import LayerCircuit, SavedCircuits
from qweft.look.tokens import Measured, measure_tokens

WRITERS = {"qasm3": to_qasm3, "qasm2": to_qasm2, "originir": to_originir}


@dataclass(frozen=True, eq=False)
class Look:
    """What was found.

    Args:
        adapter: Its folder.
        layers: Names of all layers that have a circuit.
        found: The layer's circuit.
        counts: Of the circuit as it is written.
        compiled: For a chip, where one was named.
        measured: What a text's tokens give, where one was given.
        written: Files that were written.
    """

    adapter: str
    layers: list[str]
    found: LayerCircuit
    counts: Counts
    compiled: Compiled | None
    measured: Measured | None
    written: list[str]

    def to_json(self) -> dict[str, Any]:
        """As a record, with all digits."""
        circuit, measured = self.found.circuit, self.measured
        angles = self.found.angles.tolist()
        return {
            "adapter": self.adapter,
            "layers": self.layers,
            "layer": self.found.layer,
            "kind": self.found.kind,
            "qubits": circuit.qubits,
            "gates": [
                {"name": g.name, "wires": g.wires, "angle": f"{'c' if g.source == 'input' else 't'}{g.index}"}
                for g in circuit.gates
            ],
            "angles": angles,
            "dead_angles": list(circuit.dead_parameters()),
            "counts": self.counts.to_json(),
            "compiled": asdict(self.compiled) if self.compiled else None,
            "tokens": [
                {"token": token, "inputs": c, "values": z}
                for token, c, z in zip(measured.tokens, measured.inputs.tolist(), measured.values.tolist(), strict=True)
            ]
            if measured
            else None,
            "written": self.written,
        }


def look(adapter: Path, options: Mapping[str, Any] | None = None) -> Look:
    """Look at one layer's circuit.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        options: Fields of `CircuitConfig`; of `model` only what differs from the run that trained the adapter.

    Raises:
        QweftError: If the folder holds no circuit, there is no such layer, or options are wrong or do not go together.
    """
    given = dict(options or {})
    overrides = given.pop("model", {})
    config = CircuitConfig(**given)
    saved = SavedCircuits(adapter)
    if config.layer is None:
        raise QweftError(f"--layer is missing; the adapter's circuits are on {_listed(saved.layers)}")
    _check(config, overrides)
    found = saved.of(saved.find(config.layer))
    compiled = None
    if config.chip is not None:
        compiled = compile_for(config.chip, found.circuit, found.angles, config.optimization_level, config.seed)
    measured = None
    if config.tokens is not None:
        measured = measure_tokens(adapter, found, config.tokens, overrides)
    written = []
    if config.output is not None:
        write_bytes(config.output, _text(config, found, measured).encode())
        written.append(config.output)
    if config.picture is not None:
        save_picture(found.circuit, config.picture)
        written.append(config.picture)
    return Look(str(adapter), saved.layers, found, count(found.circuit), compiled, measured, written)


def _check(config: CircuitConfig, overrides: Mapping[str, Any]) -> None:
    """What must go together, before anything is loaded or written."""
    if config.picture is not None:
        check_picture(config.picture)
    if (config.export is None) != (config.output is None):
        raise QweftError("--export FORMAT and --output FILE go together: give both, or neither")
    if config.token is not None and (config.tokens is None or config.export is None):
        raise QweftError("--token chooses the token that an export is bound to: give --tokens TEXT and --export too")
    if overrides and config.tokens is None:
        raise QweftError("--model is only used with --tokens: without a text no base model is loaded")
    if config.export not in (None, "qasm3") and config.token is None:
        raise QweftError(
            f"--export {config.export} has no open parameters: choose a token with --tokens TEXT --token INDEX, or "
            "export qasm3"
        )


def _text(config: CircuitConfig, found: LayerCircuit, measured: Measured | None) -> str:
    """The export."""
    assert config.export is not None
    if config.token is None or measured is None:
        return to_qasm3(found.circuit, parameters=found.angles.tolist())
    if not 0 <= config.token < len(measured.tokens):
        raise QweftError(f"--token {config.token}: the text has {len(measured.tokens)} tokens, numbered from 0")
    return WRITERS[config.export](found.circuit, measured.inputs[config.token].tolist(), found.angles.tolist())


def _listed(layers: list[str]) -> str:
    shown = ", ".join(layers[:4])
    return shown if len(layers) <= 4 else f"{shown} and {len(layers) - 4} more, up to {layers[-1]}"
