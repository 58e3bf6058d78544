"""Reads circuits from an adapter's folder without a base model, and finds a layer by name."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from peft.utils.other import get_pattern_key
from safetensors import safe_open

from qweft.adapter import QwthnConfig
from qweft.adapter.folder import find_weights, read_config, read_header
from qweft.adapter.functions import FUNCTIONS, make_function
from qweft.adapter.strict_loading import file_key
from qweft.circuit import Circuit
from qweft.errors import QweftError
from qweft.evaluation.on_device import met_by, some
from qweft.evaluation.saved import check_folder
from qweft.method.checks import check_quick
from qweft.method.names import formula, function_of, has_circuit
from qweft.text import near

ANGLES = ".qwthn_core.angles"
"""Suffix of the key of a circuit's angles in an adapter's file, after the layer's name."""


@dataclass(frozen=True)
class SavedCircuit:
    """The circuit of one layer and its angles.

    Args:
        layer: Name of the layer in the base model.
        core: Name of the core in the config.
        circuit: The circuit.
        layers: Number L of circuit layers.
        angles: (circuit.parameters,), float64, in radians.
    """

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
    """A saved adapter whose core has a circuit.

    Args:
        folder: Folder of the adapter.
        config: Config of the adapter.
        keys: Key of the angles in the adapter's file by layer name, in natural order of the names.
    """

    folder: Path
    config: QwthnConfig
    keys: dict[str, str]

    @classmethod
    def open(cls, folder: Path) -> "SavedAdapter":
        """Reads the config and the header of the adapter's file.

        Raises:
            QweftError: If the folder has no adapter, or the adapter has no circuit.
        """
        check_folder(folder)
        config = read_config(folder)
        if not isinstance(config, QwthnConfig):
            method = getattr(config.peft_type, "value", config.peft_type)
            raise QweftError(
                f"{folder}: an adapter of PEFT's method {method} has no circuit; qweft circuit takes a QWTHN adapter "
                "with one, as of the presets qtha and qwthn"
            )
        if not has_circuit(config.core):
            raise QweftError(f"{folder}: {_why_none(config.core)}; presets with a circuit are qtha and qwthn")
        found = {file_key(key): key for key in read_header(find_weights(folder)) if key.endswith(ANGLES)}
        keys = {name.removesuffix(ANGLES): key for name, key in found.items()}
        if not keys:
            raise QweftError(f"{folder}: its file holds no angles of a circuit; copy the adapter again")
        check_quick(config, keys)
        return cls(folder, config, {layer: keys[layer] for layer in sorted(keys, key=_natural)})

    def circuit_of(self, layer: str) -> SavedCircuit:
        """Returns the circuit of a layer with its angles.

        Raises:
            QweftError: If the number of angles in the file does not match the config's circuit.
        """
        ranks = self.config.rank_pattern
        r = ranks.get(get_pattern_key(list(ranks), layer), self.config.r)
        at = self.config.resolved(r)
        circuit = make_function(function_of(at.core) or "", at.qubits, at.circuit_layers, at.reupload).circuit
        assert circuit is not None  # has_circuit
        with safe_open(find_weights(self.folder), framework="pt") as file:
            angles = file.get_tensor(self.keys[layer]).double()
        if angles.shape != (circuit.parameters,):
            raise QweftError(
                f"{self.folder}: the angles of {layer} are {angles.numel()}, and the circuit of its "
                f"adapter_config.json has {circuit.parameters}; put the adapter's own config beside its file"
            )
        return SavedCircuit(layer, self.config.core, circuit, at.circuit_layers, angles)


def _why_none(core: str) -> str:
    name = function_of(core)
    if name is None:
        return f"core {core} ({formula(core)}) has no circuit"
    return f"core {core} has the twin {name} in the circuit's place, and no circuit"


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a sort key that puts layers.2 before layers.10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def first_layer(layers: Collection[str]) -> str:
    """Returns the first layer, with the numbers in the names in their own order."""
    return min(layers, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def one_layer(pattern: str, layers: Collection[str]) -> str:
    """Returns the one layer that matches a pattern.

    Args:
        pattern: A whole name, the end of a name after a dot, or either with * and ?.
        layers: Names of the layers with a circuit.

    Raises:
        QweftError: If the pattern does not match exactly one layer.
    """
    if pattern in layers:
        return pattern
    met = met_by(pattern, layers)
    if len(met) == 1:
        return met[0]
    if met:
        raise QweftError(f"--layer: {pattern} meets more than one layer: {some(met)}; name one of them")
    nearest = _nearest(pattern, layers)
    what = f"did you mean {nearest}?" if nearest else f"the layers with a circuit are {some(layers)}"
    raise QweftError(f"--layer: {pattern} meets no layer with a circuit; {what}")


def _nearest(pattern: str, layers: Collection[str]) -> str | None:
    """Returns the layer whose name's end, of as many parts as the pattern, is closest to it; `None` without any."""
    parts = pattern.count(".") + 1
    ends: dict[str, str] = {}
    for layer in layers:
        ends.setdefault(".".join(layer.split(".")[-parts:]), layer)
    close = near(pattern, ends, cutoff=0.75)
    return ends[close[0]] if close else None
