"""The tables of a comparison as rows of text, titles first: for the terminal, the page and Markdown."""

from collections.abc import Mapping, Sequence

from qweft.comparison.searched import Search
from qweft.comparison.summary import Summary
from qweft.environment import share_said
from qweft.method.shipping import SAID, ships

Rows = list[tuple[str, ...]]

HEADERS = (
    "method",
    "trained parameters",
    "vs ref.",
    "learning rate",
    "late train loss",
    "held-out loss",
    "perplexity",
    "diff. to ref.",
    "s/step (others)",
    "peak memory",
    "adapter's file",
    "ships as",
)
SHORT = ("method", "trained parameters", "learning rate", "held-out loss", "diff. to ref.", "ships as")
"""The columns that a terminal shows."""
EMPTY = "–"
FORGETTING = (
    "Forgetting is the rise of the loss over the base model's on data that was not learned from, nats a token. ± "
    "beside a loss is the sample standard deviation over seeds, beside a rise the standard error over rows."
)


def summary_rows(summary: Mapping[str, Summary], columns: Sequence[str] = HEADERS) -> Rows:
    """Return the results, a row a method."""
    places = [HEADERS.index(column) for column in columns]
    return [tuple(row[place] for place in places) for row in (HEADERS, *map(cells, summary.values()))]


def cells(entry: Summary) -> tuple[str, ...]:
    """Return one method's row, one text per entry of `HEADERS`; a dash stands for a missing value."""
    is_reference = entry.method == entry.reference
    difference = None if entry.difference.diverged else entry.difference.mean
    loss = f"{entry.diverged} of {len(entry.seeds)} diverged"
    if entry.eval_loss is not None:
        loss = f"{entry.eval_loss:.4f}{_spread(entry.eval_loss_deviation)}"
    return (
        entry.method,
        f"{entry.trainable_parameters:,}",
        "ref." if is_reference else _number(entry.parameter_difference, "+z.0f", "%"),
        _number(entry.learning_rate, "g"),
        _number(entry.late_train_loss, ".3f"),
        loss,
        _number(entry.perplexity, ".2f" if (entry.perplexity or 0) < 1000 else ".3g"),
        "ref." if is_reference else _number(difference, "+z.1f", "%"),
        _number(entry.step_seconds, ".3g", f" ({share_said(entry.cpu_by_others)})"),
        _bytes(entry.peak_memory_bytes),
        _bytes(entry.adapter_bytes),
        EMPTY if entry.kind == "base" or entry.adapter is None else SAID[ships(entry.adapter)],
    )


def forgetting_rows(summary: Mapping[str, Summary]) -> Rows:
    """Return the loss on other data, its rise, and the size of the adapter's file; empty if it was not measured."""
    measured = [(entry, entry.forgetting) for entry in summary.values() if entry.forgetting is not None]
    rows: Rows = [("method", f"loss on {found.source}", "rise", "adapter's file") for _, found in measured[:1]]
    for entry, found in measured:
        rise = _number(found.rise, "+z.4f", _spread(found.standard_error))
        rows.append((entry.method, f"{found.loss:.4f}{_spread(found.deviation)}", rise, _bytes(entry.adapter_bytes)))
    return rows


def search_rows(found: Sequence[Search]) -> Rows:
    """Return what was tried for each method, its rate, the loss there, and how far it may fall short."""
    rows: Rows = [("method", "tried", "chosen", "validation loss", "may fall short by")]
    for entry in found:
        tried = f"{len(entry.losses)}, {min(entry.losses):g} to {max(entry.losses):g}"
        end = " (end of what was tried)" if entry.at_end else ""
        loss = "diverged" if entry.loss is None else f"{entry.loss:.4f}"
        rows.append((entry.method, tried, f"{entry.best:g}{end}", loss, entry.shortfall.said))
    return rows


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of escaped text as a Markdown table, all columns except the first aligned to the right."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|---{'|---:' * (len(rows[0]) - 1)}|", *lines[1:]]) + "\n"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return EMPTY if value is None else format(value, form) + unit


def _spread(value: float | None) -> str:
    return "" if value is None else f" ± {value:.4f}"


def _bytes(value: float | None) -> str:
    """Return bytes in the unit that leaves one to four digits before the point."""
    if value is None:
        return EMPTY
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"
