"""`Forgetting`: how much a method's runs lose on other data, beside the base model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qweft.comparison.results import Run
from qweft.evaluation.scores import ratio


@dataclass(frozen=True)
class Forgetting:
    """One method's loss on other data, in nats per token."""

    source: str
    loss: float  # mean over runs
    rise: float | None = None  # loss minus the base model's; `None` for the base model, or without its run
    standard_error: float | None = None  # of the rise, over rows


def summarise_forgetting(runs: Sequence[Run], base_run: Run | None) -> Forgetting | None:
    """Return a method's forgetting; `None` if it was not measured in all of its runs."""
    records = [run.forgetting for run in runs if run.forgetting is not None]
    losses = [record["loss"] for record in records if record["loss"] is not None]
    if not losses or len(losses) < len(runs):
        return None
    source = str(records[0]["source"])
    loss = math.fsum(losses) / len(losses)
    if base_run is None or base_run.forgetting is None:
        return Forgetting(source, loss)
    rises: list[tuple[float, int]] = []
    rows_by_run = [record["row_losses"] for record in records]
    for base_row, *rows in zip(base_run.forgetting["row_losses"], *rows_by_run, strict=True):
        base_loss, tokens = base_row
        mean_loss = math.fsum(row_loss for row_loss, _ in rows) / len(rows)
        rises.append((mean_loss - base_loss, tokens))
    rise, standard_error = ratio(rises)
    return Forgetting(source, loss, rise, standard_error)
