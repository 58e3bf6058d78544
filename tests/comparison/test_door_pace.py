"""A budget of time: what it allows by measured times."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from qweft.comparison.config import HalvingConfig
from qweft.comparison.search import pacing
from qweft.comparison.search.pacing import Costs, Pace, pace_of, seconds_of
from qweft.core.errors import QweftError
from tests.comparison.comparison_examples import results
from tests.comparison.test_door_halving import halved

COSTS = Costs([(1.0, 0.5)] * 8, 2.0, 3.0)
PLAN = SimpleNamespace(
    config=SimpleNamespace(halving=HalvingConfig(3), search=True),
    methods=[None] * 8,
    finalists=3,
    grid=SimpleNamespace(seeds=(0,), most=5),
    seeds=(0, 1, 2),
    analysis_seeds=((0, 1, 2),),
)


def test_the_estimate_is_the_sum_of_its_parts():
    # 8 methods at 4 rates of 10 steps, 5 at 4 rates of 20 steps, 3 at 3 seeds of 40 steps, and the base model
    rungs = 8 * 4 * (10 + 0.5 + 2) + 5 * 4 * (20 + 0.5 + 2)
    last = 3 * 3 * (40 + 0.5 + 3) + 3
    pace = Pace(40, 5, 8, 3)
    assert seconds_of(PLAN, COSTS, pace) == pytest.approx(rungs + last)
    slow = replace(COSTS, runs=[*COSTS.runs[:2], *[(9.0, 9.0)] * 6])
    few = 2 * 3 * (12.5 + 22.5) + 2 * 3 * 43.5 + 3
    assert seconds_of(PLAN, slow, replace(pace, rates=3, methods=2)) == pytest.approx(few)


@pytest.mark.parametrize("left", [2000, 3600, 7200])
def test_the_most_steps_that_fit(left):
    pace = pace_of(PLAN, COSTS, 1000, left)
    assert pace.seconds <= left and pace.methods == 8 and pace.steps >= pacing.ENOUGH_STEPS
    assert seconds_of(PLAN, COSTS, replace(pace, steps=pace.steps + 1)) > left


def test_little_time_saves_rates_then_methods():
    paces = {left: pace_of(PLAN, COSTS, 1000, left) for left in range(350, 3000, 50)}
    for left, pace in paces.items():
        assert pace.seconds <= left and (pace.steps >= pacing.ENOUGH_STEPS or pace.methods == 2)
        if pace.methods < 8:  # no method is left out that had the time
            more = replace(pace, methods=pace.methods + 1, steps=pacing.ENOUGH_STEPS)
            assert pace.rates == 3 and seconds_of(PLAN, COSTS, more) > left
    assert {pace.methods for pace in paces.values()} >= {2, 3, 8}
    none = pace_of(PLAN, COSTS, 1000, 10)
    assert (none.steps, none.methods) == (pacing.LEAST_STEPS, 2) and none.seconds > 10


@pytest.fixture
def timed(monkeypatch):
    """Every step takes a second, whatever the machine does."""
    asked = []

    def measured(context, methods, most):
        asked.append([method.name for method in methods])
        return Costs([(1.0, 0.5)] * len(methods), 0.01, 0.01)

    monkeypatch.setattr(pacing, "measured", measured)
    return asked


def paced(places, folder, budget):
    config = halved(places, folder, budget=budget)
    names = ("lora", "fast", "faster")
    return replace(config, methods={name: config.methods[name] for name in names}, search_rates=3)


def run(config):
    return results(config), json.loads((Path(config.output) / "budget.json").read_text())


def test_the_budget_sets_the_steps_and_a_second_start_keeps_them(places, tmp_path, timed, capsys):
    config = paced(places, tmp_path, "60s")
    made, kept = run(config)
    assert timed == [["lora", "fast", "faster"]]
    steps = kept["steps"]
    assert {entry["steps"] for entry in made["runs"] if entry["method"] != "base"} == {steps}
    assert [rung["steps"] for rung in made["halving"]] == [1, 2] and steps == 4
    said = capsys.readouterr().out
    assert f"then 2 for {steps} steps at" in said and "of a budget of 60 s" in said
    again, _ = run(config)
    assert len(timed) == 1 and "timing a step" not in capsys.readouterr().out
    assert [entry["started"] for entry in again["runs"]] == [entry["started"] for entry in made["runs"]]
    with pytest.raises(QweftError, match="has the plan of another budget"):
        run(paced(places, tmp_path, "5min"))


def test_time_that_is_left_goes_to_seeds(places, tmp_path, timed):
    made, kept = run(paced(places, tmp_path, "10min"))
    seeds = {entry["seed"] for entry in made["runs"] if entry["method"] != "base"}
    assert kept["steps"] == 4 and kept["seeds"] == 8 and seeds == set(range(8))
