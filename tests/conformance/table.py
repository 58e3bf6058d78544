"""The table of the documentation: a row for each feature, a column for each method, notes on families of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

WORKS, REFUSES, NOT_APPLICABLE, FAILS = "works", "refuses", "n/a", "FAILS"
NOT_INSTALLED = "is not installed"
"""In the reason of a cell that could not be tried here: such a table is not for the documentation."""
MARKS = {FAILS: "**FAILS**", WORKS: "✓", REFUSES: "✗", NOT_APPLICABLE: "–"}
"""In the order in which the outcomes on several families give a cell its mark."""

HEADER = """# What works where

{tried}

This writes the page; do not edit it:

<!-- not run: it is what writes this page -->

```bash
make conformance
```

It checks shapes and plumbing, and nothing about learning. The checks are in `tests/conformance/`.

✓ works, ✗ is refused with one sentence, – does not exist. Numbers name the notes below the
table; a note that begins with models is about these alone.

"""


@dataclass(frozen=True)
class Cell:
    """One outcome.

    Args:
        feature: Row.
        family: The family of base models.
        method: Column.
        outcome: WORKS, REFUSES, NOT_APPLICABLE or FAILS.
        why: The reason, unless it works.
    """

    feature: str
    family: str
    method: str
    outcome: str
    why: str = ""


def render(cells: Sequence[Cell], features: Sequence[str], families: Sequence[str], methods: Sequence[str]) -> str:
    """Return the page as Markdown. A note that holds for every method stands beside the feature.

    Raises:
        ValueError: If a cell is missing: the table has no empty cells.
    """
    by_place = {(cell.feature, cell.family, cell.method): cell for cell in cells}
    wanted = [(feature, family, method) for feature in features for method in methods for family in families]
    missing = [key for key in wanted if key not in by_place]
    if missing:
        raise ValueError(f"{len(missing)} of {len(wanted)} cells were not run, the first of them {missing[0]}")
    notes: list[str] = []
    rows = []
    for feature in features:
        columns = [[by_place[feature, family, method] for family in families] for method in methods]
        of_column = [_notes(column) for column in columns]
        shared = [note for note in of_column[0] if all(note in each for each in of_column)]
        names = [f"{feature}{_numbers(shared, notes)}"]
        for column, each in zip(columns, of_column, strict=True):
            own = [note for note in each if note not in shared]
            names.append(_mark(column) + _numbers(own, notes))
        rows.append(f"|{'|'.join(names)}|\n")
    head = f"||{'|'.join(methods)}|\n|---|{':-:|' * len(methods)}\n"
    listed = "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))
    tried = f"Each feature was tried with each preset on tiny models with random weights: {'; '.join(families)}."
    return HEADER.format(tried=fill(tried, 120)) + head + "".join(rows) + f"\n## Notes\n\n{listed}"


def _mark(column: Sequence[Cell]) -> str:
    return next(mark for outcome, mark in MARKS.items() if any(cell.outcome == outcome for cell in column))


def _notes(column: Sequence[Cell]) -> list[str]:
    """Return each reason, with its families unless it holds wherever the feature exists."""
    existing = [cell for cell in column if cell.outcome != NOT_APPLICABLE]
    notes = []
    for why in dict.fromkeys(cell.why for cell in column if cell.why):
        of_why = [cell for cell in column if cell.why == why]
        others = [cell.family for cell in column if cell.why != why]
        if of_why in (existing, column):
            notes.append(why)
        elif len(others) < len(of_why):
            notes.append(f"All but {'; '.join(others)}: {why}")
        else:
            notes.append(f"{'; '.join(cell.family for cell in of_why)}: {why}")
    return notes


def _numbers(own: Sequence[str], notes: list[str]) -> str:
    notes += [note for note in own if note not in notes]
    return f"<sup>{','.join(str(notes.index(note) + 1) for note in own)}</sup>" if own else ""
