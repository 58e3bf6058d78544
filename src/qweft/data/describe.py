"""Terminal output of a data check and of the list of named data sets."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.data.check import DataCheck, Overlap, Stretch
from qweft.data.embedded import EMBEDDED_DATA, PREFIX
from qweft.data.hub import NAMED
from qweft.text import many

LONGEST_STRETCH = 600
"""Maximum characters of a span in the examples; the middle of a longer one is left out."""

NO_TEST = "no test rows: training judges on them; raise data.test_rows, or give it --evaluation.split validation"


def describe(check: DataCheck) -> Group:
    """Return a data check as terminal output."""
    parts: list[RenderableType] = [
        Text(f"{check.source}: {_formats(check)}"),
        Text(_limit(check)),
        _lengths(check),
        Text(check.split),
        *([] if check.held_out["test"] else [Text(NO_TEST)]),
        *(Text(_overlap(name, part)) for name, part in check.overlaps.items()),
        Text(f"\n{many(len(check.shown), 'row')} as {check.model} sees them; learned is what stands in ⟦ ⟧:"),
        *(Panel(_row(row)) for row in check.shown),
    ]
    return Group(*parts)


def _formats(check: DataCheck) -> str:
    counts = ", ".join(f"{many(count, 'row')} of {name}" for name, count in check.formats.items())
    several = sum(count for answers, count in check.turns.items() if answers > 1)
    if several:
        counts += f"; {many(several, 'row')} with several answers, at most {max(check.turns)}"
    return counts


def _limit(check: DataCheck) -> str:
    """Return a sentence on the rows that are longer than the limit."""
    limit = f"{check.max_length:,} tokens"
    if not check.longer:
        return f"no row is longer than {limit}"
    share = f"{many(check.longer, 'row')} of {check.rows:,} ({100 * check.longer / check.rows:.1f}%)"
    if check.overlong == "drop":
        return f"{share}, longer than {limit}, would be left out (data.overlong drop)"
    lost = f"; of {many(check.lost, 'row')} no learned token would be left" if check.lost else ""
    return f"{share}, longer than {limit}, would be cut there{lost}"


def _lengths(check: DataCheck) -> Table:
    table = Table(title="tokens of a row", title_justify="left")
    table.add_column("")
    for name in check.lengths:
        table.add_column(name, justify="right")
    for name, of in (("whole", check.lengths), ("learned", check.learned)):
        table.add_row(name, *(f"{number:,}" for number in of.values()))
    return table


def _overlap(name: str, part: Overlap) -> str:
    counts = (
        (part.prompts, "with a training row's prompt"),
        (part.answers, "with a training row's answer"),
        (part.stretches, "of which half or more stands in training rows, in stretches of 12 tokens"),
    )
    shared = [f"{many(count, 'row')} {what}" for count, what in counts if count]
    if not shared:
        return f"{name}: none of its {many(part.rows, 'row')} stands in the training rows"
    return f"{name}, of {many(part.rows, 'row')}: {'; '.join(shared)}"


def _row(row: tuple[Stretch, ...]) -> Text:
    text = Text()
    for stretch in row:
        shown = _shortened(stretch.text)
        text.append(f"⟦{shown}⟧" if stretch.is_learned else shown, style="bold green" if stretch.is_learned else "dim")
    return text


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_STRETCH:
        return text
    half = LONGEST_STRETCH // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"


def describe_sources() -> Group:
    """Return the list of data sets that have a name."""
    lines: list[Text] = []
    for name, rows in EMBEDDED_DATA.items():
        about = (rows.__doc__ or "").splitlines()[0].removeprefix("Yield ").rstrip(".")
        lines += [Text(f"embedded:{name}", style="bold"), Text(f"  {about}; from a Python package")]
    lines += [
        Text(f"embedded:{PREFIX}TASK", style="bold"),
        Text("  Any task of reasoning-gym whose entries have a text answer, with its verifier; from a Python package"),
    ]
    for each in NAMED:
        lines += [Text(each.name, style="bold"), Text(f"  {each.about}; from the hub, {each.source}")]
    return Group(*lines, Text("\nA copy of one of the hub's: --data.source NAME --data.file FILE"))
