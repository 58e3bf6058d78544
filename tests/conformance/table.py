"""The table of the documentation: one part a method, a row for each feature, a column for each family."""

from collections.abc import Sequence
from dataclasses import dataclass

WORKS, REFUSES, NOT_APPLICABLE, FAILS = "works", "refuses", "n/a", "FAILS"
NOT_INSTALLED = "is not installed"
"""In the reason of a cell that could not be tried here: such a table is not for the documentation."""
MARKS = {WORKS: "✓", REFUSES: "✗", NOT_APPLICABLE: "–", FAILS: "**FAILS**"}

HEADER = """# What works where

Which features work with which method on which family of models. Each cell was run. This writes the page:

<!-- not run: it is what writes this page -->

    make conformance

A cell is one feature, one method and a tiny model of one family with random weights. It checks shapes and plumbing, and
nothing about learning. The checks are in `tests/conformance/`; do not edit this page.

✓ works. ✗ refused with one sentence, by the number beside it. – there is no such thing for this family, by the number.
"""


@dataclass(frozen=True)
class Cell:
    """One outcome.

    Args:
        feature: Row.
        family: Column.
        method: Part of the page.
        outcome: WORKS, REFUSES, NOT_APPLICABLE or FAILS.
        why: The reason, unless it works.
    """

    feature: str
    family: str
    method: str
    outcome: str
    why: str = ""


def render(cells: Sequence[Cell], features: Sequence[str], families: Sequence[str], methods: Sequence[str]) -> str:
    """The page as Markdown.

    Raises:
        ValueError: If a cell is missing: the table has no empty cells.
    """
    found = {(cell.feature, cell.family, cell.method): cell for cell in cells}
    wanted = [(feature, family, method) for method in methods for feature in features for family in families]
    missing = [key for key in wanted if key not in found]
    if missing:
        raise ValueError(f"{len(missing)} of {len(wanted)} cells were not run, the first of them {missing[0]}")
    reasons = list(dict.fromkeys(found[key].why for key in wanted if found[key].why))
    parts = [HEADER]
    for method in methods:
        parts.append(f"\n## {method}\n\n| |{'|'.join(families)}|\n|---|{':-:|' * len(families)}\n")
        for feature in features:
            row = (found[feature, family, method] for family in families)
            parts.append(f"|{feature}|{'|'.join(_mark(cell, reasons) for cell in row)}|\n")
    parts.append("\n## Why not\n\n")
    parts += [f"{number}. {why}\n" for number, why in enumerate(reasons, 1)]
    return "".join(parts)


def _mark(cell: Cell, reasons: list[str]) -> str:
    number = f" {reasons.index(cell.why) + 1}" if cell.why else ""
    return MARKS[cell.outcome] + number
