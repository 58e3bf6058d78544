"""A budget of time: what it allows by measured times, with a played clock."""

import json
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from qweft.comparison import pacing
from qweft.comparison.config import HalvingConfig
from qweft.comparison.pacing import Costs, Estimate, Pace
from qweft.comparison.plan import rung_steps
from qweft.errors import QweftError
from tests.comparison.comparison_examples import results
from tests.comparison.test_door_halving import halved

NAMES = tuple("abcdefgh")
COSTS = Costs(dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 0.5), 2.0, 2.0, 3.0)
PLAN = SimpleNamespace(
    methods=[SimpleNamespace(name=name, searched=True) for name in NAMES],
    halving=HalvingConfig(3),
    grid=SimpleNamespace(seeds=(0,), trainings=(5, 5)),
    seeds=(0, 1, 2),
    looks=((0, 1, 2),),
)
ESTIMATE = Estimate(PLAN, COSTS, 1000, 1)


def test_the_estimate_is_the_sum_of_its_parts():
    # 8 methods at 4 rates of 10 steps, 5 at 4 rates of 20 steps, 3 at 3 seeds of 40 steps, and the base model
    rungs = 8 * 4 * (10 + 0.5 + 2) + 5 * 4 * (20 + 0.5 + 2)
    last = 3 * (3 * (40 + 0.5 + 2) + 3) + 2 + 3
    pace = Pace(40, (10, 20), 5, 8)
    assert ESTIMATE.seconds(pace) == pytest.approx(rungs + last)
    assert replace(ESTIMATE, workers=2).seconds(pace) == pytest.approx((rungs + last) / 2)
    assert ESTIMATE.seconds(replace(pace, rungs=(10,), methods=4)) == pytest.approx(4 * 4 * 12.5 + last)
    assert ESTIMATE.seconds(replace(pace, rungs=(10,), methods=2)) == pytest.approx(2 * 4 * 12.5 + 2 * 130.5 + 5)


@pytest.mark.parametrize("left", [1600, 3600, 7200])
def test_the_most_steps_that_fit(left):
    pace = ESTIMATE.pace(left)
    assert pace.seconds <= left and pace.methods == 8
    more = replace(pace, steps=pace.steps + 1, rungs=rung_steps(PLAN.halving, pace.steps + 1)[-len(pace.rungs) :])
    assert ESTIMATE.seconds(more) > left and pace.steps >= pacing.ENOUGH_STEPS


def test_little_time_saves_rates_then_a_rung_then_methods():
    paces = {left: ESTIMATE.pace(left) for left in range(150, 3000, 50)}
    for left, pace in paces.items():
        assert pace.seconds <= left and (pace.steps >= pacing.ENOUGH_STEPS or pace.methods == 2)
        if pace.methods < 8:  # no method is left out that had the time
            more = replace(pace, methods=pace.methods + 1, steps=pacing.ENOUGH_STEPS, rungs=(15,))
            assert ESTIMATE.seconds(more) > left
    assert {pace.methods for pace in paces.values()} >= {2, 3, 8}
    none = ESTIMATE.pace(10)
    assert (none.steps, none.methods) == (pacing.LEAST_STEPS, 2) and none.seconds > 10


@pytest.fixture
def timed(monkeypatch):
    """Every step takes a second and a token of an evaluation a millisecond, whatever the machine does."""
    asked = []

    def measured(context, methods, seed, most):
        asked.append([method.name for method in methods])
        names = asked[-1]
        return Costs(dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.5), 0.01, 0.01, 0.0)

    monkeypatch.setattr(pacing, "measured", measured)
    monkeypatch.setattr(pacing, "clock", partial(next, count(1.0)))
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
    steps = kept["pace"]["steps"]
    assert {entry["steps"] for entry in made["runs"] if entry["method"] != "base"} == {steps}
    assert [rung["steps"] for rung in made["halving"]] == kept["pace"]["rungs"]
    said = capsys.readouterr().out
    assert f"then 2 for {steps} steps at" in said and "of a budget of 60 s" in said
    again, _ = run(config)
    assert len(timed) == 1 and "timing a step" not in capsys.readouterr().out
    assert [entry["started"] for entry in again["runs"]] == [entry["started"] for entry in made["runs"]]
    with pytest.raises(QweftError, match="has the plan of another budget"):
        run(paced(places, tmp_path, "5min"))


def test_time_that_the_rungs_left_goes_to_seeds(places, tmp_path, timed):
    made, kept = run(paced(places, tmp_path, "10min"))
    seeds = {entry["seed"] for entry in made["runs"] if entry["method"] != "base"}
    assert kept["pace"]["steps"] == 4 and seeds == set(range(8))  # the tiny model's rungs took next to nothing
