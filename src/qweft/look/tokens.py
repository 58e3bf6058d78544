"""What the tokens of a text upload into a layer's circuit, and what is measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qweft.analysis.layers import layer_maps
from qweft.analysis.tokens import collect
from qweft.circuit import expectation_values
from qweft.errors import QweftError
from qweft.evaluation.saved import model_of, put_on
from qweft.look.layers import LayerCircuit
from qweft.models.load import load_model


@dataclass(frozen=True, eq=False)
class Measured:
    """The circuit's inputs and outputs for a text.

    Args:
        tokens: Each as text.
        inputs: c, (tokens, n), in radians.
        values: q(c), (tokens, n), the exact expectation of Z on each qubit.
    """

    tokens: list[str]
    inputs: torch.Tensor
    values: torch.Tensor


def measure_tokens(adapter: Path, found: LayerCircuit, text: str, overrides: Mapping[str, Any]) -> Measured:
    """Run the base model with the adapter on the text, and the circuit in float64 on what its layer then sees.

    Args:
        adapter: The adapter's folder.
        found: One of its circuits.
        text: As it stands: no chat template is put around it.
        overrides: Fields of `ModelConfig` that differ from the run that trained the adapter.

    Raises:
        QweftError: If the text has no tokens, or the model cannot be had.
    """
    loaded = load_model(model_of(adapter, overrides))
    batch = loaded.tokenizer(text, return_tensors="pt")
    ids = batch["input_ids"]
    if ids.numel() == 0:
        raise QweftError("--tokens: the text has no tokens")
    model = put_on(loaded, adapter)
    layers, _ = layer_maps(model, "default")
    seen = collect(model, {found.layer: layers[found.layer]}, [{"input_ids": ids}])
    inputs = seen[found.layer].c
    values = expectation_values(found.circuit, inputs, found.angles)
    return Measured([loaded.tokenizer.decode([token]) for token in ids[0].tolist()], inputs, values)
