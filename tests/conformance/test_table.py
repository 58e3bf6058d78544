"""The page of the documentation, and how it is made."""

from pathlib import Path

import pytest

from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import FAILS, MARKS, NOT_APPLICABLE, REFUSES, WORKS, Cell, render

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_has_every_feature_and_method_and_no_empty_cell():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    heads, _, *rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    assert heads == METHODS, "run make conformance"
    assert [row[0].split("<sup>")[0] for row in rows] == list(FEATURES), "run make conformance"
    marks = {MARKS[WORKS], MARKS[REFUSES], MARKS[NOT_APPLICABLE]}
    assert all(len(row) == 1 + len(METHODS) and {cell[0] for cell in row[1:]} <= marks for row in rows)


def test_a_cell_says_what_holds_on_all_families_and_its_notes_where_it_does_not():
    cells = [
        Cell("f", "A", "m", WORKS),
        Cell("f", "B", "m", NOT_APPLICABLE, "no head"),
        Cell("f", "A", "n", REFUSES, "it cannot"),
        Cell("f", "B", "n", NOT_APPLICABLE, "no head"),
    ]
    page = render(cells, ["f"], ["A", "B"], ["m", "n"])
    assert "|f<sup>1</sup>|✓|✗<sup>2</sup>|" in page
    assert page.endswith("1. B: no head\n2. it cannot\n")
    with pytest.raises(ValueError, match="1 of 4 cells were not run"):
        render(cells[:3], ["f"], ["A", "B"], ["m", "n"])
    assert "**FAILS**" in render([Cell("f", "B", "m", FAILS), cells[0]], ["f"], ["A", "B"], ["m"])
