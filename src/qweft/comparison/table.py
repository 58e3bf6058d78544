"""The results table of a comparison: for the terminal, as Markdown, and as cells for the page."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from qweft.comparison.summary import Summary
from qweft.environment import share_said
from qweft.method.shipping import SAID, ships
from qweft.output import Console
from qweft.text import escaped

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
"""Column titles. Losses are in nats per token, as mean and sample standard deviation over seeds. The late training
loss is that of the last quarter of the steps. In brackets beside a step time: the share of the processors that other
processes took meanwhile.
"""

PLAIN_WIDTH = 100
"""Minimum width in characters if the output is not a terminal."""

EMPTY = "–"

LEFT_OUT_FIRST = (
    "adapter's file",
    "peak memory",
    "s/step (others)",
    "ships as",
    "perplexity",
    "late train loss",
    "learning rate",
    "vs ref.",
)
"""Columns that a narrow terminal drops, in this order."""

FORGETTING = (
    "Forgetting is the rise of the loss over the base model's on data that was not learned from, nats a token. ± "
    "beside a loss is the sample standard deviation over seeds, beside a rise the standard error over rows."
)


def cells(entry: Summary) -> tuple[str, ...]:
    """Return one method's row, one text per entry of `HEADERS`; a dash stands for a missing value."""
    is_reference = entry.method == entry.reference
    return (
        entry.method,
        f"{entry.trainable_parameters:,}",
        "ref." if is_reference else _percent(entry.parameter_difference, 0),
        _number(entry.learning_rate, "g"),
        _number(entry.late_train_loss, ".3f"),
        _loss(entry),
        _perplexity(entry.perplexity),
        "ref." if is_reference else _percent(entry.eval_loss_difference, 1),
        _seconds(entry),
        _bytes(entry.peak_memory_bytes),
        _bytes(entry.adapter_bytes),
        EMPTY if entry.kind == "base" or entry.adapter is None else SAID[ships(entry.adapter)],
    )


def rich_table(summary: Mapping[str, Summary], width: int = PLAIN_WIDTH) -> Table:
    """Return the table for a terminal; the reference is bold, the base model dim."""
    rows = [cells(entry) for entry in summary.values()]
    shown = _that_fit(rows, width)
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    for column in shown:
        # Names may wrap in little space; numbers never do.
        table.add_column(
            HEADERS[column].replace(" ", "\n", 1),
            justify="left" if column == 0 else "right",
            overflow="fold",
            no_wrap=column > 0,
            vertical="bottom",
        )
    for entry, row in zip(summary.values(), rows, strict=True):
        style = "bold" if entry.method == entry.reference else ("dim" if entry.kind == "base" else "")
        # Text, not str: rich would read brackets in a method's name as markup.
        table.add_row(*(Text(row[column], style=style) for column in shown))
    return table


def print_table(summary: Mapping[str, Summary], console: Console | None = None) -> None:
    """Print the table; if the output is not a terminal, as plain text at least 100 characters wide."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=max(console.width, PLAIN_WIDTH))
    console.print(rich_table(summary, console.width))


def markdown_table(summary: Mapping[str, Summary]) -> str:
    """Return the table as Markdown, one line per method, numbers aligned to the right."""
    rows = [HEADERS, *(cells(entry) for entry in summary.values())]
    return markdown_rows([[escaped(cell) for cell in row] for row in rows])


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of escaped text as a Markdown table, all columns except the first aligned to the right."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = "|".join("---" if column == 0 else "---:" for column in range(len(rows[0])))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"


def forgetting_rows(summary: Mapping[str, Summary]) -> list[tuple[str, ...]]:
    """Return the forgetting table, titles first: loss on the other data, rise, and size of the adapter's file."""
    measured = [(entry, entry.forgetting) for entry in summary.values() if entry.forgetting is not None]
    if not measured:
        return []
    rows: list[tuple[str, ...]] = [("method", f"loss on {measured[0][1].source}", "rise", "adapter's file")]
    for entry, found in measured:
        spread = "" if found.deviation is None else f" ± {found.deviation:.4f}"
        error = "" if found.standard_error is None else f" ± {found.standard_error:.4f}"
        rise = "–" if found.rise is None else f"{found.rise:+z.4f}{error}"
        size = "–" if entry.adapter_bytes is None else f"{entry.adapter_bytes / 2**20:.2f} MiB"
        rows.append((entry.method, f"{found.loss:.4f}{spread}", rise, size))
    return rows


def _that_fit(rows: Sequence[tuple[str, ...]], width: int) -> list[int]:
    """Return the columns that fit into a width, in table order."""
    shown = list(range(len(HEADERS)))
    for name in LEFT_OUT_FIRST:
        # One space separates columns; a header may take two lines.
        widths = [max(len(text) for text in (*HEADERS[c].split(" ", 1), *(row[c] for row in rows))) for c in shown]
        if sum(widths) + len(widths) - 1 <= width:
            break
        shown.remove(HEADERS.index(name))
    return shown


def _loss(entry: Summary) -> str:
    """Return mean and standard deviation, or how many seeds diverged."""
    if entry.eval_loss is None:
        return f"{entry.diverged} of {len(entry.seeds)} diverged"
    if entry.eval_loss_deviation is None:
        return f"{entry.eval_loss:.4f}"
    return f"{entry.eval_loss:.4f} ± {entry.eval_loss_deviation:.4f}"


def _number(value: float | None, form: str) -> str:
    """Return a formatted number, or the dash."""
    return EMPTY if value is None else format(value, form)


def _seconds(entry: Summary) -> str:
    """Return the step time with the load beside it, or the dash."""
    if entry.step_seconds is None:
        return EMPTY
    return f"{entry.step_seconds:.3g} ({share_said(entry.cpu_by_others)})"


def _percent(value: float | None, digits: int) -> str:
    """Return a signed difference in percent, zero without a minus, or the dash."""
    return EMPTY if value is None else f"{value:+z.{digits}f}%"


def _perplexity(value: float | None) -> str:
    """Return a perplexity with two decimals, or with three significant digits from 1000 on."""
    if value is None:
        return EMPTY
    return f"{value:.2f}" if value < 1000 else f"{value:.3g}"


def _bytes(value: float | None) -> str:
    """Return bytes in the unit that leaves one to four digits before the point."""
    if value is None:
        return EMPTY
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"
