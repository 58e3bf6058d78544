"""The circuits in an adapter's folder: of which layers, and with which angles. No base model is needed for them."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from qweft.adapter.core_names import function_of, has_circuit
from qweft.adapter.functions import make_function
from qweft.adapter.strict_loading import file_key
from qweft.adapter.weights_file import find_weights, read_header
from qweft.circuit import Circuit
from qweft.errors import QweftError

ANGLES, WIDTH = ".qwthn_core.angles", ".qwthn_compress.weight"


@dataclass(frozen=True, eq=False)
class LayerCircuit:
    """One layer's circuit with its angles.

    Args:
        layer: The layer's name in the base model.
        kind: "quantum", or a twin that is a circuit: "frozen", "product".
        circuit: The circuit.
        angles: (circuit.parameters,), float64, in radians.
    """

    layer: str
    kind: str
    circuit: Circuit
    angles: torch.Tensor


class SavedCircuits:
    """The circuits of an adapter's folder.

    Args:
        adapter: The folder.

    Raises:
        QweftError: If it holds no QWTHN adapter, one without circuit, or a damaged one.
    """

    def __init__(self, adapter: Path) -> None:
        self.adapter = adapter
        self.config = _config(adapter)
        core = self.config.get("core", "")
        if not has_circuit(core):
            raise QweftError(f"{adapter}: its core is {core}, which has no circuit")
        self.kind = function_of(core) or ""
        self._file = find_weights(adapter)
        header = read_header(self._file)
        self._keys = {file_key(key).removesuffix(ANGLES): key for key in header if key.endswith(ANGLES)}
        self._widths = {file_key(key).removesuffix(WIDTH): len(header[key]) for key in header if key.endswith(WIDTH)}
        if not self._keys:
            raise QweftError(f"{self._file} holds no angles of a circuit; was it saved by another version?")

    @property
    def layers(self) -> list[str]:
        """Names of the layers that have a circuit."""
        return list(self._keys)

    def find(self, layer: str) -> str:
        """The full name of a layer, from it or from its end.

        Raises:
            QweftError: If there is none, or more than one.
        """
        if layer in self._keys:
            return layer
        ending = [name for name in self.layers if name.endswith(f".{layer}")]
        if len(ending) == 1:
            return ending[0]
        if ending:
            raise QweftError(f"--layer {layer}: {len(ending)} layers end so; did you mean {ending[0]}?")
        close = difflib.get_close_matches(layer, self.layers, n=1)
        shown = f"did you mean {close[0]}?" if close else f"the first of {len(self.layers)} is {self.layers[0]}"
        raise QweftError(f"--layer {layer}: the adapter has no circuit on such a layer; {shown}")

    def of(self, layer: str) -> LayerCircuit:
        """The circuit of the layer of that full name.

        Raises:
            QweftError: If its angles do not fit the adapter's config.
        """
        r = self._widths[layer]
        layers = self.config.get("circuit_layers") or r
        circuit = make_function(self.kind, r, layers, self.config.get("reupload", True)).circuit
        assert circuit is not None
        with safe_open(self._file, framework="pt") as file:
            angles = file.get_tensor(self._keys[layer]).double()
        if angles.shape != (circuit.parameters,):
            raise QweftError(
                f"{self._file}: layer {layer} has {angles.numel()} angles, and its config describes a circuit of "
                f"{circuit.parameters}"
            )
        return LayerCircuit(layer, self.kind, circuit, angles)


def _config(adapter: Path) -> dict[str, Any]:
    file = adapter / "adapter_config.json"
    if not file.is_file():
        raise QweftError(f"{adapter}: no adapter_config.json in it; give the folder that an adapter was saved to")
    try:
        config: dict[str, Any] = json.loads(file.read_text("utf-8"))
        method = config.get("peft_type")
    except (ValueError, AttributeError) as error:
        raise QweftError(f"{file} is not the config of an adapter ({error}); save the adapter again") from error
    if method != "QWTHN":
        raise QweftError(f"{adapter} is an adapter of PEFT's method {method}, which has no circuit")
    return config
