"""Inputs and expectation values of a layer's circuit for each token of a text."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from qweft.circuit import Circuit, expectation_values
from qweft.data.tokens import text_tokens
from qweft.errors import QweftError
from qweft.evaluation.loss import context_of, judged
from qweft.evaluation.on_device import circuit_layers
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.text import many


@dataclass(frozen=True)
class TokenValues:
    """Inputs and expectation values of a circuit for one token."""

    place: int
    id: int
    text: str
    c: tuple[float, ...]
    q: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns all fields as JSON-compatible values."""
        return asdict(self)


def token_values(adapter: Path, model: ModelConfig, layer: str, text: str) -> list[TokenValues]:
    """Runs a text through the base model with the adapter, and returns the values of one circuit for each token.

    The text is used without a chat template, with the tokenizer's default special tokens.
    """
    if model.device == "meta":
        raise QweftError("--model.device meta has shapes and no numbers; --tokens needs auto, cpu or cuda")
    loaded = load_model(model)
    ids = _ids(loaded, text)
    adapted = put_on(loaded, adapter)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        rows = c.detach().reshape(-1, circuit.inputs).cpu().double()
        values = expectation_values(circuit, rows, angles.detach().cpu().double())
        seen.append((rows, values))
        return values.to(c).reshape(*c.shape[:-1], circuit.qubits)

    circuit_layers(adapted)[layer].measured_by = note
    with judged(adapted):
        adapted(input_ids=torch.tensor([ids], device=loaded.device))
    rows = sum(len(c) for c, _ in seen)
    if rows != len(ids):
        raise QweftError(
            f"--tokens: layer {layer} was given {many(rows, 'row')} for the {many(len(ids), 'token')} of the text; "
            "choose a layer that every token passes once"
        )
    inputs, values = (torch.cat(list(each)).tolist() for each in zip(*seen, strict=True))
    return [
        TokenValues(place, token, loaded.tokenizer.decode([token]), tuple(inputs[place]), tuple(values[place]))
        for place, token in enumerate(ids)
    ]


def _ids(loaded: Any, text: str) -> list[int]:
    ids = text_tokens(text, loaded.tokenizer)
    if not ids:
        raise QweftError("--tokens: the text has no token; give a few words")
    most = context_of(loaded.model)
    if most is not None and len(ids) > most:
        raise QweftError(
            f"--tokens: the text has {many(len(ids), 'token')}, and the model takes {most:,}; give a shorter one"
        )
    return ids
