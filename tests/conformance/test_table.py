"""The page of the documentation, and how it is made."""

from pathlib import Path

import pytest

from tests.conformance.families import FAMILIES
from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import FAILS, MARKS, NOT_APPLICABLE, REFUSES, WORKS, Cell, render

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_has_every_feature_family_and_method_and_no_empty_cell():
    page = PAGE.read_text(encoding="utf-8")
    parts = page.split("\n## ")[1:]
    assert [part.split("\n")[0] for part in parts] == [*METHODS, "Why not"]
    for part in parts[:-1]:
        heads, _, *rows = [line.strip("|").split("|") for line in part.split("\n") if line.startswith("|")]
        assert heads[1:] == list(FAMILIES), "run make conformance"
        assert [row[0] for row in rows] == list(FEATURES), "run make conformance"
        for row in rows:
            assert len(row) == len(heads)
            assert all(cell.split()[0] in (MARKS[WORKS], MARKS[REFUSES], MARKS[NOT_APPLICABLE]) for cell in row[1:])


def test_a_missing_cell_is_no_table():
    cells = [Cell("f", "A", "m", WORKS), Cell("f", "B", "m", REFUSES, "it cannot")]
    page = render(cells, ["f"], ["A", "B"], ["m"])
    assert "|f|✓|✗ 1|" in page and "1. it cannot" in page
    with pytest.raises(ValueError, match=r"1 of 2 cells were not run, the first of them \('f', 'B', 'm'\)"):
        render(cells[:1], ["f"], ["A", "B"], ["m"])
    assert "**FAILS**" in render([*cells[:1], Cell("f", "B", "m", FAILS)], ["f"], ["A", "B"], ["m"])
