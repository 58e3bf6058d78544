"""What methods forget: the rise of their loss on data that they did not learn from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qweft.comparison.pairing import deviation
from qweft.comparison.results import Run
from qweft.errors import QweftError
from qweft.evaluation.loss import ratio

if TYPE_CHECKING:
    from qweft.comparison.summary import Summary


@dataclass(frozen=True)
class Forgotten:
    """One method on the other data.

    Args:
        source: These data.
        loss: Mean over seeds, nats a token.
        rise: The same less the base model's: what was forgotten; none for the base model, or without its run.
        standard_error: Of the rise over rows, which are the same for both models; none of a single row.
        deviation: Sample standard deviation of the loss over seeds; none of one seed.
    """

    source: str
    loss: float
    rise: float | None = None
    standard_error: float | None = None
    deviation: float | None = None


def forgotten(runs: Sequence[Run], base: Run | None) -> Forgotten | None:
    """What a method has forgotten; none where it was not measured in all of its runs.

    Args:
        runs: Those of one method.
        base: The untouched model's; none where there is none, or where the runs are it.

    Raises:
        QweftError: The runs were judged on different other data.
    """
    found = [run.forgetting for run in runs if run.forgetting is not None]
    losses = [entry["loss"] for entry in found if entry["loss"] is not None]
    if not losses or len(losses) < len(runs):
        return None
    source = str(found[0]["source"])
    loss, spread = math.fsum(losses) / len(losses), deviation(losses)
    if base is None or base.forgetting is None:
        return Forgotten(source, loss, deviation=spread)
    before = base.forgetting["row_losses"]
    after = [entry["row_losses"] for entry in found]
    if any([tokens for _, tokens in rows] != [tokens for _, tokens in before] for rows in after):
        raise QweftError("the runs' forgetting was measured on different rows: compare them one at a time")
    rows = [
        (math.fsum(row[0] for row in each) / len(each) - theirs, tokens)
        for (theirs, tokens), each in zip(before, zip(*after, strict=True), strict=True)
    ]
    rise, error = ratio(rows)
    return Forgotten(source, loss, rise, error, spread)


def forgetting_rows(summary: Mapping[str, "Summary"]) -> list[tuple[str, ...]]:
    """A table of it, its titles first: each method's loss on the other data, its rise, and the size of its file.

    Args:
        summary: From `summarise`; empty where no method was measured.
    """
    measured = [(entry, entry.forgetting) for entry in summary.values() if entry.forgetting is not None]
    if not measured:
        return []
    rows: list[tuple[str, ...]] = [("method", f"loss on {measured[0][1].source}", "rise", "adapter's file")]
    for entry, found in measured:
        spread = "" if found.deviation is None else f" ± {found.deviation:.4f}"
        error = "" if found.standard_error is None else f" ± {found.standard_error:.4f}"
        rise = "–" if found.rise is None else f"{found.rise:+.4f}{error}"
        size = "–" if entry.adapter_bytes is None else f"{entry.adapter_bytes / 2**20:.2f} MiB"
        rows.append((entry.method, f"{found.loss:.4f}{spread}", rise, size))
    return rows


CAPTION = (
    "Forgetting is the rise of the loss over the base model's on data that was not learned from, nats a token. ± "
    "beside a loss is the sample standard deviation over seeds, beside a rise the standard error over rows."
)
