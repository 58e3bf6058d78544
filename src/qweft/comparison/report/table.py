"""The tables of a comparison and its search, as rows of text for all reports and as the terminal prints them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from qweft.comparison.judge.searches import Search
from qweft.comparison.judge.summary import Summary
from qweft.comparison.plan import Plan, rung_steps
from qweft.comparison.report.wording import caveats
from qweft.comparison.results import Run
from qweft.comparison.timing import duration
from qweft.core.environment import share_said
from qweft.core.output import Console
from qweft.core.text import many
from qweft.method.shipping import SAID, ships

Rows = list[tuple[str, ...]]

LONGEST_NUMBER = 30
"""Longest cell that is taken for a number, or a few."""
EMPTY = "–"
FORGETTING = "rise elsewhere"


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


def _rise(entry: Summary) -> str:
    found = entry.forgetting
    return EMPTY if found is None else _number(found.rise, "+z.4f", _spread(found.standard_error))


COLUMNS: dict[str, Callable[[Summary], str]] = {
    "method": lambda entry: entry.method,
    "trained parameters": lambda entry: f"{entry.trainable_parameters:,}",
    "vs ref.": lambda entry: _to_reference(entry, entry.parameter_difference, "+z.0f"),
    "learning rate": lambda entry: _number(entry.learning_rate, "g"),
    "late train loss": lambda entry: _number(entry.late_train_loss, ".3f"),
    "held-out loss": _loss,
    "perplexity": lambda entry: _number(entry.perplexity, ".2f" if (entry.perplexity or 0) < 1000 else ".3g"),
    "diff. to ref.": lambda entry: _to_reference(
        entry, None if entry.difference.paired.diverged else entry.difference.mean, "+z.1f"
    ),
    FORGETTING: _rise,
    "s/step (others)": lambda entry: _number(entry.step_seconds, ".3g", f" ({share_said(entry.cpu_by_others)})"),
    "peak memory": lambda entry: _bytes(entry.peak_memory_bytes),
    "adapter's file": lambda entry: _bytes(entry.adapter_bytes),
    "ships as": lambda entry: SAID[ships(entry.adapter)] if entry.adapter else EMPTY,
}
"""The results of a method by column."""
SHORT = ("method", "trained parameters", "learning rate", "held-out loss", "diff. to ref.", FORGETTING, "ships as")
"""The columns that a terminal shows."""


def summary_rows(summary: Mapping[str, Summary], columns: Sequence[str] = tuple(COLUMNS)) -> Rows:
    """Return the results, a row a method; forgetting only if it was measured."""
    if all(entry.forgetting is None for entry in summary.values()):
        columns = [name for name in columns if name != FORGETTING]
    return [tuple(columns), *(tuple(COLUMNS[name](entry) for name in columns) for entry in summary.values())]


def search_table(found: Sequence[Search]) -> Table:
    """Return the result of a search as a table."""
    return table_of(search_rows(found), "learning rates by the loss on the validation rows")


def search_rows(found: Sequence[Search]) -> Rows:
    """Return what was tried for each method, its rate, the loss there, and how far it may fall short."""
    rows: Rows = [("method", "tried", "chosen", "validation loss", "may fall short by")]
    for entry in found:
        tried = f"{len(entry.losses)}, {min(entry.losses):g} to {max(entry.losses):g}"
        end = " (end of what was tried)" if entry.at_end else ""
        loss = "diverged" if entry.loss is None else f"{entry.loss:.4f}"
        rows.append((entry.method, tried, f"{entry.best:g}{end}", loss, entry.shortfall.text))
    return rows


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of escaped text as a Markdown table, all columns except the first aligned to the right."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|---{'|---:' * (len(rows[0]) - 1)}|", *lines[1:]]) + "\n"


def table_of(rows: Rows, title: str | None = None, styles: Sequence[str] = ()) -> Table:
    """Return rows, titles first, as a table: names and long texts may wrap in little space, numbers never do."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    for place, name in enumerate(rows[0]):
        wraps = place == 0 or max((len(row[place]) for row in rows[1:]), default=0) > LONGEST_NUMBER
        heading = Text(name.replace(" ", "\n", 1), justify="left" if wraps else "right")
        table.add_column(
            heading, justify=heading.justify or "left", overflow="fold", no_wrap=not wraps, vertical="bottom"
        )
    for row, style in zip_longest(rows[1:], styles, fillvalue=""):
        # Text, not str: rich would read brackets in a method's name as markup.
        table.add_row(*(Text(cell, style=str(style)) for cell in row))
    return table


def print_summary(summary: Mapping[str, Summary], searched: Sequence[Search], console: Console) -> None:
    """Print the results, and what was not controlled; the reference is bold, the base model dim."""
    styles = {"base": "dim", **{entry.reference: "bold" for entry in summary.values()}}
    console.print(table_of(summary_rows(summary, SHORT), styles=[styles.get(name, "") for name in summary]))
    for line in caveats(summary, [each.method for each in searched]):
        console.print(f"note: {line}", highlight=False)


def print_run(run: Run, split: str, place: tuple[int, int], seconds: float, console: Console) -> None:
    """Print a line on a finished run: its place, its loss, its own time, and the whole command's."""
    loss = "not a number" if run.eval_loss is None else f"{run.eval_loss:.4f}"
    took = "" if run.seconds is None else f"took {run.seconds:.0f} s, "
    text = f"{run.method}, seed {run.seed}: {split} loss {loss} ({took}{seconds:.0f} s since the start)"
    console.say(f"[{place[0]}/{place[1]}] {text}")


def runs_plan(plan: Plan, steps: int | None) -> Table:
    """Return the planned runs of a comparison as a table."""
    methods, searched = plan.methods, {method.name for method in plan.methods if method.searched}
    if plan.config.halving.finalists is not None:
        runs = f"{many(plan.finalists * len(plan.seeds), 'run')} of {many(plan.finalists, 'finalist')}"
    else:
        runs = many(len(methods) * len(plan.seeds), "run")
        runs += f", after a search of at most {plan.grid.trainings * len(searched):,} trainings" if searched else ""
    further = f" (until decided, at most {len(plan.analysis_seeds[-1])} seeds)" if len(plan.analysis_seeds) > 1 else ""
    title = f"{plan.title}{further}, seeds {', '.join(map(str, plan.seeds))}: {runs}"
    rows: Rows = [("method", "parameters", "learning rate", "steps", "adapter")]
    for method in methods:
        rate = "searched" if method.searched else f"{method.learning_rate:g}"
        rate = f"as {method.rate_of}" if method.rate_of in searched else rate
        fields = {key: " ".join(map(str, v)) if isinstance(v, list) else v for key, v in method.adapter.items()}
        adapter = ", ".join(f"{key} {value}" for key, value in fields.items())
        made = "all" if steps is None else f"{steps:,}"
        rows.append((method.name, f"{method.trainable_parameters:,}", rate, made, adapter))
    return table_of(rows, title)


def untried_said(plan: Plan) -> str:
    """Return the sentence on the methods that the budget leaves out; empty if there is none."""
    names = [f"{each.name} ({each.trainable_parameters:,} parameters)" for each in plan.untried]
    return f"the budget leaves out {', '.join(names)}" if names else ""


def halving_said(plan: Plan, whole: int | None) -> str:
    """Return the sentence on the rungs before the runs; empty without halving."""
    if plan.config.halving.finalists is None:
        return ""
    finalists = many(plan.finalists, "method")
    steps = "" if whole is None else f" of {' and '.join(map(str, rung_steps(plan.config.halving, whole)))} steps"
    limit = plan.budget.seconds
    timed = "" if limit is None else f", with as many steps and seeds as fit into {duration(limit)}"
    return f"before the runs, rungs{steps} leave {finalists}{timed}"
