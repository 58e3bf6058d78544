"""Statements on speed: only from times that were measured alone."""

import pytest

from qweft.comparison.timing import load_said
from tests.comparison.comparison_examples import run

QUIET, BUSY = {"cpu_by_others": 0.02}, {"cpu_by_others": 0.47}


@pytest.mark.parametrize(("lora", "qtha", "alone"), [(QUIET, QUIET, True), (QUIET, BUSY, False), (QUIET, {}, False)])
def test_step_times_count_only_if_they_were_measured_alone(lora, qtha, alone):
    runs = [run("lora", 0, 1.0, step_seconds_median=1.0, **lora), run("qtha", 0, 0.9, step_seconds_median=0.5, **qtha)]
    assert ("can be compared" in load_said(runs)) is alone
