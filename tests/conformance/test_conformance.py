"""Each feature, for each method, on each family of base models; LoRA goes through the same checks as a control."""

from pathlib import Path

import pytest

from tests.conformance.case import Case, NotApplicable, Refused
from tests.conformance.families import FAMILIES
from tests.conformance.features import FEATURES
from tests.conformance.methods import METHODS
from tests.conformance.table import WORKS, Cell


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("feature", FEATURES)
def test_conformance(feature: str, family: str, method: str, tmp_path: Path, record_cell) -> None:
    case = Case(FAMILIES[family], method)
    try:
        refused = FEATURES[feature](case, tmp_path)
    except NotApplicable as reason:
        record_cell(Cell(feature, family, method, "n/a", str(reason)))
        return
    assert refused is None or isinstance(refused, Refused)
    record_cell(Cell(feature, family, method, WORKS if refused is None else "refuses", refused.why if refused else ""))
