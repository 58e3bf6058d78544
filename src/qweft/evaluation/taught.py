"""A teacher's distributions as targets: its logits where rows have targets, each row's kept after its first use."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from qweft.data.tokens import IGNORED

Targets = Callable[[Mapping[str, Any]], torch.Tensor]
"""The logits at a batch's targets, (targets, vocabulary): row by row, and in each row from left to right."""

KEPT = 2**30
"""Bytes of logits that are kept. A row has 98 kB a target for a vocabulary of 49,152 in bfloat16."""


def targets_of(labels: torch.Tensor) -> torch.Tensor:
    """Return where the next token is a target, (rows, T - 1); labels is (rows, T)."""
    return labels[:, 1:] != IGNORED


class Taught:
    """A frozen teacher, asked for each row once.

    A training of several epochs, a search of rates and an evaluation read the same rows again and again, and a forward
    pass of the teacher is a third of a student's step. Each row is computed alone, so its logits depend on neither the
    rows beside it nor the padding. Rows beyond `KEPT` bytes are computed whenever they are asked for.

    Args:
        model: A transformers causal language model in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._rows: dict[bytes, torch.Tensor] = {}
        self._bytes = 0

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the logits at the batch's targets, in the teacher's dtype.

        Args:
            batch: {"input_ids", "attention_mask", "labels"}, each (rows, T).
        """
        read = batch["attention_mask"].bool()
        rows = zip(batch["input_ids"], batch["labels"], read, strict=True)
        return torch.cat([self._row(ids[mask], labels[mask]) for ids, labels, mask in rows])

    def _row(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        key = torch.stack([ids, labels]).cpu().numpy().tobytes()
        if key in self._rows:
            return self._rows[key]
        device = next(self._model.parameters()).device
        logits = self._model(input_ids=ids[None].to(device), use_cache=False).logits[0, -len(ids) : -1]
        found: torch.Tensor = logits[targets_of(labels[None])[0].to(device)]
        if self._bytes + found.nbytes <= KEPT:
            self._rows[key] = found
            self._bytes += found.nbytes
        return found
