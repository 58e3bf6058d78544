"""Statements on speed: only from times that were measured alone."""

import pytest

from qweft import environment
from qweft.comparison.timing import measured_alone
from tests.comparison.comparison_examples import run

QUIET = {"cpu_by_others": 0.02, "load_average": 1.9, "step_seconds_spread": 0.03}
BUSY = {"cpu_by_others": 0.47, "load_average": 3.4, "step_seconds_spread": 0.03}


def pair(seconds, others, *, lora=QUIET, qtha=QUIET):
    """Runs of LoRA and qtha with these step times, one a seed, beside this load."""
    made = [run("lora", seed, 1.0, step_seconds_median=s, **lora) for seed, s in enumerate(others)]
    return made + [run("qtha", seed, 0.9, step_seconds_median=s, **qtha) for seed, s in enumerate(seconds)]


HALF, EVEN = (0.56, 0.55, 0.57), (1.0, 1.0, 1.0)
CASES = {
    "alone": (pair(HALF, EVEN), True),
    "beside other work": (pair(HALF, EVEN, qtha=BUSY), False),
    "load not recorded": (pair(HALF, EVEN, lora={}, qtha={}), None),
    "load of one not recorded": (pair(HALF, EVEN, qtha={}), None),
}


@pytest.mark.parametrize("case", CASES)
def test_step_times_count_only_if_they_were_measured_alone(case):
    runs, alone = CASES[case]
    assert measured_alone(runs) is alone


def test_runs_at_the_same_time_are_not_alone_whatever_the_load_says():
    at_once = {"started": "2026-11-26T12:00:00+00:00", "seconds": 60.0, **QUIET}
    assert measured_alone(pair(HALF[:1], EVEN[:1], lora=at_once, qtha=at_once)) is False


def test_the_meter_counts_what_others_took(monkeypatch):
    """10 s on two cores: 12 of 20 s were busy, 9 of them this process."""
    readings = iter([(100.0, 40.0, 5.0), (120.0, 52.0, 14.0)])
    monkeypatch.setattr(environment, "cpu_seconds", lambda with_children: next(readings))
    monkeypatch.setattr(environment.psutil, "getloadavg", lambda: (2.345, 1.0, 1.0))
    assert environment.LoadMeter().read() == environment.MachineLoad(0.15, 2.35)
