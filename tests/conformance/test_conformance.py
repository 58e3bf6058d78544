"""Each feature, for each method, on each family of base models; LoRA goes through the same checks as a control.

`make conformance` fills every cell of the table. Without its option one in `EVERY` is run, in which each feature meets
each family and each method, and each family each method.
"""

from pathlib import Path

import pytest

from tests.conformance.case import Case, NotApplicable, Refused
from tests.conformance.families import FAMILIES
from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import WORKS, Cell

EVERY = 9
"""As many as there are methods: the fewest cells that hold every pair."""


def cells(every: int) -> list[tuple[str, str, str]]:
    """One of so many cells, in steps along each axis."""
    return [
        (feature, family, method)
        for f, feature in enumerate(FEATURES)
        for g, family in enumerate(FAMILIES)
        for m, method in enumerate(METHODS)
        if (f + g + m) % every == 0
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "feature" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--conformance-table")
        metafunc.parametrize(("feature", "family", "method"), cells(1 if whole else EVERY))


def test_the_part_that_is_always_run_holds_every_pair() -> None:
    for first, second in ((0, 1), (0, 2), (1, 2)):
        pairs = [{(cell[first], cell[second]) for cell in cells(every)} for every in (1, EVERY)]
        assert pairs[0] == pairs[1]


def test_conformance(feature: str, family: str, method: str, tmp_path: Path, record_cell) -> None:
    case = Case(FAMILIES[family], method)
    try:
        refused = FEATURES[feature](case, tmp_path)
    except NotApplicable as reason:
        record_cell(Cell(feature, family, method, "n/a", str(reason)))
        return
    assert refused is None or isinstance(refused, Refused)
    record_cell(Cell(feature, family, method, WORKS if refused is None else "refuses", refused.why if refused else ""))
