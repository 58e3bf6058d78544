"""The page of the documentation."""

from pathlib import Path

from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import MARKS, NOT_APPLICABLE, REFUSES, WORKS

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_has_every_feature_and_method_and_no_empty_cell():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    heads, _, *rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    assert heads == METHODS, "run make conformance"
    assert [row[0].split("<sup>")[0] for row in rows] == list(FEATURES), "run make conformance"
    marks = {MARKS[WORKS], MARKS[REFUSES], MARKS[NOT_APPLICABLE]}
    assert all(len(row) == 1 + len(METHODS) and {cell[0] for cell in row[1:]} <= marks for row in rows)
