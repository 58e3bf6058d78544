"""The tables of a comparison as rows of text, titles first: for the terminal, the page and Markdown."""

from collections.abc import Callable, Mapping, Sequence

from qweft.comparison.searched import Search
from qweft.comparison.summary import Summary
from qweft.environment import share_said
from qweft.method.shipping import SAID, ships

Rows = list[tuple[str, ...]]

EMPTY = "–"
FORGETTING = (
    "Forgetting is the rise of the loss over the base model's on data that was not learned from, nats a token. ± "
    "beside a loss is the sample standard deviation over seeds, beside a rise the standard error over rows."
)


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


def _loss(entry: Summary) -> str:
    if entry.eval_loss is None:
        return f"{entry.diverged} of {len(entry.seeds)} diverged"
    return f"{entry.eval_loss:.4f}{_spread(entry.eval_loss_deviation)}"


def _to_reference(entry: Summary, percent: float | None, form: str) -> str:
    return "ref." if entry.method == entry.reference else _number(percent, form, "%")


COLUMNS: dict[str, Callable[[Summary], str]] = {
    "method": lambda entry: entry.method,
    "trained parameters": lambda entry: f"{entry.trainable_parameters:,}",
    "vs ref.": lambda entry: _to_reference(entry, entry.parameter_difference, "+z.0f"),
    "learning rate": lambda entry: _number(entry.learning_rate, "g"),
    "late train loss": lambda entry: _number(entry.late_train_loss, ".3f"),
    "held-out loss": _loss,
    "perplexity": lambda entry: _number(entry.perplexity, ".2f" if (entry.perplexity or 0) < 1000 else ".3g"),
    "diff. to ref.": lambda entry: _to_reference(
        entry, None if entry.difference.diverged else entry.difference.mean, "+z.1f"
    ),
    "s/step (others)": lambda entry: _number(entry.step_seconds, ".3g", f" ({share_said(entry.cpu_by_others)})"),
    "peak memory": lambda entry: _bytes(entry.peak_memory_bytes),
    "adapter's file": lambda entry: _bytes(entry.adapter_bytes),
    "ships as": lambda entry: SAID[ships(entry.adapter)] if entry.adapter else EMPTY,
}
"""The results of a method by column."""
SHORT = ("method", "trained parameters", "learning rate", "held-out loss", "diff. to ref.", "ships as")
"""The columns that a terminal shows."""


def summary_rows(summary: Mapping[str, Summary], columns: Sequence[str] = tuple(COLUMNS)) -> Rows:
    """Return the results, a row a method."""
    return [tuple(columns), *(tuple(COLUMNS[name](entry) for name in columns) for entry in summary.values())]


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
