"""Each feature, for each method, on each family of base models; LoRA goes through the same checks as a control.

`make conformance` fills every cell of the table. Without its option each feature is run on four families, each family
with every method.
"""

from pathlib import Path

import pytest

from tests.conformance.case import Case, NotApplicable, Refused
from tests.conformance.families import FAMILIES
from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import WORKS, Cell

FAMILIES_A_FEATURE = 4


def all_cells() -> list[tuple[str, str, str]]:
    """Return every cell of the table."""
    return [(feature, family, method) for feature in FEATURES for family in FAMILIES for method in METHODS]


def some_cells() -> list[tuple[str, str, str]]:
    """Return about 180 cells: four families a feature, in turn, and the next method after each round of families."""
    families, methods = list(FAMILIES), list(METHODS)
    features = [feature for feature in FEATURES for _ in range(FAMILIES_A_FEATURE)]
    return [
        (feature, families[place % len(families)], methods[place // len(families) % len(methods)])
        for place, feature in enumerate(features)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "feature" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--conformance-table")
        metafunc.parametrize(("feature", "family", "method"), all_cells() if whole else some_cells())


def test_conformance(feature: str, family: str, method: str, tmp_path: Path, record_cell) -> None:
    case = Case(FAMILIES[family], method)
    try:
        refused = FEATURES[feature](case, tmp_path)
    except NotApplicable as reason:
        record_cell(Cell(feature, family, method, "n/a", str(reason)))
        return
    assert refused is None or isinstance(refused, Refused)
    record_cell(Cell(feature, family, method, WORKS if refused is None else "refuses", refused.why if refused else ""))
