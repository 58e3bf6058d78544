"""Reads circuits from an adapter's folder without a base model, and finds a layer by name."""

from dataclasses import dataclass
from pathlib import Path

import torch
from peft.utils.other import get_pattern_key
from safetensors import safe_open

from qweft.adapter import QwthnConfig
from qweft.adapter.folder import find_weights, read_config
from qweft.adapter.functions import FUNCTIONS, make_function
from qweft.circuit import Circuit
from qweft.circuit_view.layers import angle_keys
from qweft.errors import QweftError
from qweft.method.names import function_of


@dataclass(frozen=True)
class SavedCircuit:
    """The circuit of one layer and its angles."""

    layer: str
    core: str
    circuit: Circuit
    layers: int
    angles: torch.Tensor

    @property
    def is_trained(self) -> bool:
        """Whether the angles were trained; those of the control `frozen` are not."""
        return "angles" not in FUNCTIONS[function_of(self.core) or ""].fixed_tensors


@dataclass(frozen=True)
class SavedAdapter:
    """A saved adapter whose core has a circuit."""

    folder: Path
    config: QwthnConfig
    keys: dict[str, str]

    @classmethod
    def open(cls, folder: Path) -> "SavedAdapter":
        """Reads the config and the header of the adapter's file."""
        keys = angle_keys(folder)
        config = read_config(folder)
        assert isinstance(config, QwthnConfig)  # angle_keys checks the method
        return cls(folder, config, keys)

    def circuit_of(self, layer: str) -> SavedCircuit:
        """Returns the circuit of a layer with its angles."""
        ranks = self.config.rank_pattern
        r = ranks.get(get_pattern_key(list(ranks), layer), self.config.r)
        at = self.config.resolved(r)
        circuit = make_function(function_of(at.core) or "", at.qubits, at.circuit_layers, at.reupload).circuit
        assert circuit is not None  # has_circuit
        with safe_open(find_weights(self.folder), framework="pt") as file:
            found = file.get_slice(self.keys[layer])
            if found.get_shape() != [circuit.parameters] or "F" not in found.get_dtype():
                raise QweftError(
                    f"{self.folder}: the angles of {layer} are {found.get_shape()} ({found.get_dtype()}), and the "
                    f"circuit of its adapter_config.json has {circuit.parameters}; put the adapter's own config beside "
                    "its file"
                )
            angles = file.get_tensor(self.keys[layer]).double()
        return SavedCircuit(layer, self.config.core, circuit, at.circuit_layers, angles)
