"""Statements on speed: only from times that were measured alone, and beyond their spread."""

import pytest

from qweft import environment
from qweft.comparison.speed import measured_alone, ratio_interval
from qweft.comparison.summarise import summarise
from tests.comparison.comparison_examples import run

QUIET = {"cpu_by_others": 0.02, "load_average": 1.9, "step_seconds_spread": 0.03}
BUSY = {"cpu_by_others": 0.47, "load_average": 3.4, "step_seconds_spread": 0.03}


def pair(seconds, others, *, lora=QUIET, qtha=QUIET):
    """Runs of LoRA and qtha with these step times, one a seed, beside this load."""
    made = [run("lora", seed, 1.0, step_seconds_median=s, **lora) for seed, s in enumerate(others)]
    return made + [run("qtha", seed, 0.9, step_seconds_median=s, **qtha) for seed, s in enumerate(seconds)]


HALF, EVEN = (0.56, 0.55, 0.57), (1.0, 1.0, 1.0)
CASES = {
    "alone and apart": (pair(HALF, EVEN), None, True),
    "beside other work": (pair(HALF, EVEN, qtha=BUSY), "not alone", False),
    "the reference beside other work": (pair(HALF, EVEN, lora=BUSY), "not alone", False),
    "an earlier version": (pair(HALF, EVEN, lora={}, qtha={}), "load not recorded", None),
    "one of the two of an earlier version": (pair(HALF, EVEN, qtha={}), "load not recorded", None),
    "scattered over seeds": (pair((0.5, 1.4, 0.9), EVEN), "within spread", True),
    "one seed, apart": (pair((0.56,), (1.0,)), None, True),
    "one seed, within the spread of its steps": (pair((0.96,), (1.0,)), "within spread", True),
    "one seed, spread unknown": (
        pair((0.5,), (1.0,), qtha={**QUIET, "step_seconds_spread": None}), "within spread", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_ratio_is_a_finding_only_if_it_was_measured_alone_and_beyond_its_spread(case):
    runs, doubt, alone = CASES[case]
    assert summarise(runs)["qtha"].step_time_doubt == doubt
    assert measured_alone(runs) is alone
    assert summarise(runs)["lora"].step_time_doubt is None


def test_runs_at_the_same_time_are_not_alone_whatever_the_load_says():
    at_once = {"started": "2026-11-26T12:00:00+00:00", "seconds": 60.0, **QUIET}
    assert measured_alone(pair(HALF[:1], EVEN[:1], lora=at_once, qtha=at_once)) is False


def test_the_interval_of_a_ratio_is_that_of_paired_seeds():
    low, high = ratio_interval(*_split(pair(HALF, EVEN)))
    assert 0.53 < low < 0.56 < high < 0.59
    assert ratio_interval(*_split(pair((0.5,), (1.0,)))) == pytest.approx((0.5 * 2.71828**-0.06, 0.5 * 2.71828**0.06))


def _split(runs):
    return [r for r in runs if r.method == "qtha"], [r for r in runs if r.method == "lora"]


def test_the_meter_counts_what_others_took(monkeypatch):
    """10 s on two cores: 12 of 20 s were busy, 9 of them this process."""
    readings = iter([(100.0, 40.0, 5.0), (120.0, 52.0, 14.0)])
    monkeypatch.setattr(environment, "cpu_seconds", lambda with_children: next(readings))
    monkeypatch.setattr(environment.psutil, "getloadavg", lambda: (2.345, 1.0, 1.0))
    assert environment.LoadMeter().read() == environment.MachineLoad(0.15, 2.35)
