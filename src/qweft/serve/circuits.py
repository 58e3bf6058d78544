"""Records expectation values of a model's circuits for the latest tokens while it answers."""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

import torch

from qweft.adapter.attach import base_of
from qweft.circuit import Circuit
from qweft.errors import QweftError
from qweft.evaluation.on_device import circuit_layers

NEWEST = 24
"""Number of latest tokens whose values are kept."""


class Circuits:
    """The circuits of one model and their values, which are those that the answer uses."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        try:
            self._cores = circuit_layers(model)
        except QweftError:  # the base model, or an adapter without a circuit
            self._cores = {}
        self._lock = Lock()  # one thread generates the answer while others read the values
        self._forget()
        if self._cores:
            base_of(model).register_forward_pre_hook(self._read, with_kwargs=True)
        for layer, core in self._cores.items():
            core.observed_by = self._note(layer)

    @property
    def layers(self) -> list[str]:
        """Layers with a circuit, in the model's order; empty without circuits."""
        return list(self._cores)

    def circuit_of(self, layer: str) -> Circuit:
        """Return the circuit of a layer."""
        self._check(layer)
        circuit = self._cores[layer].circuit
        assert circuit is not None  # circuit_layers
        return circuit

    def expectations_of(self, layer: str) -> list[dict[str, Any]]:
        """Return `place`, `text` and `expectations` <Z_i> of each of the latest tokens, in text order."""
        self._check(layer)
        with self._lock:
            chunks, seen, ids = list(self._kept[layer]), self._seen[layer], list(self._ids)
            is_uneven = layer in self._uneven
        if is_uneven:
            raise QweftError(f"{layer} does not see each token once, so its values belong to no token")
        rows = torch.cat(chunks)[-NEWEST:].float().cpu().tolist() if chunks else []
        return [
            {"place": place, "text": self._tokenizer.decode([ids[place]]), "expectations": row}
            for place, row in enumerate(rows, seen - len(rows))
        ]

    def _check(self, layer: str) -> None:
        if layer not in self._cores:
            raise QweftError(f"there is no layer {layer} with a circuit")

    def _forget(self) -> None:
        self._ids: list[int] = []
        self._kept: dict[str, deque[torch.Tensor]] = {layer: deque(maxlen=NEWEST) for layer in self._cores}
        self._seen = dict.fromkeys(self._cores, 0)
        self._uneven: set[str] = set()

    def _read(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the tokens of a model call, a forward pre-hook; a call with several tokens begins the text."""
        ids = kwargs["input_ids"].reshape(-1).tolist()
        with self._lock:
            if len(ids) > 1:
                self._forget()
            self._ids += ids

    def _note(self, layer: str) -> Callable[[torch.Tensor], None]:
        def note(values: torch.Tensor) -> None:
            rows = values.detach().reshape(-1, values.shape[-1])
            with self._lock:
                self._seen[layer] += len(rows)
                if self._seen[layer] != len(self._ids):  # an expert gets some tokens, and a shared layer each one twice
                    self._uneven.add(layer)
                self._kept[layer].append(rows[-NEWEST:].clone())  # a view would keep all rows of a long prompt

        return note
