"""Statements on speed: only from times that were measured alone, and beyond their spread."""

import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from qweft import environment
from qweft.comparison.report.content import Content, figures
from qweft.comparison.report.markdown import render_markdown
from qweft.comparison.report.page import page_of
from qweft.comparison.results import Run
from qweft.comparison.speed import load_said, measured_alone, ratio_interval
from qweft.comparison.summarise import summarise
from qweft.comparison.table import print_table
from qweft.comparison.wording import caveats
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


@pytest.mark.parametrize(("load", "told"), [
    (QUIET, "measured alone (others took up to 2% of the processors, load average up to 1.9)."),
    (BUSY, "alone (others took up to 47% of the processors, load average up to 3.4): no statement on speed."),
    ({}, "load beside the step times was not recorded: no statement on speed."),
])  # fmt: skip
def test_load_stands_beside_the_times_in_every_report(load, told, tmp_path):
    runs = [run("base", loss=1.5), *pair(HALF, EVEN, lora=load, qtha=load)]
    assert load_said(runs).endswith(told)
    content = Content.read({"runs": [r.to_json() for r in runs]})
    drawn = figures(content)
    page, markdown = page_of(content, drawn), render_markdown(content, drawn)
    share = {0.02: "(2%)", 0.47: "(47%)", None: "(?)"}[load.get("cpu_by_others")]
    with (tmp_path / "table").open("w") as file:
        print_table(content.summary, Console(file=file, width=200))
    for text in (page, markdown, (tmp_path / "table").read_text()):
        assert f"0.56 {share}" in text
    for text in (page, markdown):
        assert told.partition(":")[2].strip(" .") in text
    is_said = load is QUIET
    assert ("0.56 ×" in page) == is_said
    assert ("On the front" in drawn.by_time.description) == is_said


def test_runs_too_short_to_measure_the_load_are_not_said_to_overlap():
    runs = pair(HALF, EVEN, lora={}, qtha=BUSY)
    assert load_said(runs).startswith("Step times were not measured alone (others took up to 47% of the processors")


def test_a_clock_that_was_read_beside_other_work_is_a_warning():
    def warned(share):
        budget = {"matches_time": "lora", "matches_parameters": None, "cpu_by_others": share}
        runs = [*pair(HALF, EVEN), *(run("mpo", s, 0.9, budget=budget) for s in range(3))]
        return [line for line in caveats(summarise(runs)) if "measured alone" in line]

    assert warned(0.02) == warned(None) == []
    (text,) = warned(0.47)
    assert "mpo" in text and "47%" in text


def test_a_record_without_the_load_is_read():
    record = run("lora", **QUIET).to_json()
    assert Run.from_json(json.loads(json.dumps(record))) == run("lora", **QUIET)
    for name in QUIET:
        del record[name]
    assert Run.from_json(record).cpu_by_others is None


def test_the_meter_counts_what_others_took(monkeypatch):
    """10 s on two cores: 12 of 20 s were busy, 9 of them this process."""
    readings = iter([(100.0, 40.0, 5.0), (120.0, 52.0, 14.0)])
    monkeypatch.setattr(environment, "cpu_seconds", lambda with_children: next(readings))
    monkeypatch.setattr(environment.psutil, "getloadavg", lambda: (2.345, 1.0, 1.0))
    assert environment.LoadMeter().read() == environment.MachineLoad(0.15, 2.35)


@pytest.mark.parametrize(("after", "share"), [
    ((100.2, 40.2, 5.0), None), ((110.0, 45.0, 10.1), 0.0), ((110.0, 50.0, 5.0), 1.0),
])  # fmt: skip
def test_a_share_needs_time_and_stays_between_0_and_1(monkeypatch, after, share):
    readings = iter([(100.0, 40.0, 5.0), after])
    monkeypatch.setattr(environment, "cpu_seconds", lambda with_children: next(readings))
    assert environment.LoadMeter().read().cpu_by_others == share


def test_idle_waiting_and_guests_are_no_work(monkeypatch):
    times = {"user": 5.0, "system": 1.0, "idle": 3.0, "iowait": 1.0, "steal": 2.0, "guest": 4.0, "guest_nice": 0.0}
    core = SimpleNamespace(_asdict=lambda: times)
    monkeypatch.setattr(environment.psutil, "cpu_times", lambda percpu: [core] * 4)
    monkeypatch.setattr(environment.psutil.Process, "cpu_affinity", lambda self: [0, 2], raising=False)
    whole, busy, own = environment.cpu_seconds()
    assert (whole, busy) == (24.0, 16.0) and own > 0
