"""Successive halving: who goes on, on chosen losses; and the whole of it on a tiny model, stopped and started again."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from qweft.cli.main import main
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import HalvingConfig, MethodConfig
from qweft.comparison.judge.halving import how_far_behind, standings
from qweft.comparison.plan import rung_sizes, rung_steps
from qweft.comparison.search import starter as starters
from qweft.comparison.search.pacing import Costs
from qweft.core.errors import QweftError
from tests.comparison.comparison_examples import LORA, comparison, results
from tests.comparison.comparison_examples import run as example

TOKENS = (10, 20, 30, 40)


def judged(name, rows, seed=1000):
    """A run with a mean loss of each row."""
    pairs = tuple((loss * count, count) for loss, count in zip(rows, TOKENS, strict=True))
    total = math.fsum(loss for loss, _ in pairs) / sum(TOKENS)
    return example(name, seed, total if math.isfinite(total) else None, eval_row_losses=pairs)


def test_the_bound_is_that_of_the_linearised_ratio():
    own, theirs = [1.3, 1.2, 1.4, 1.1], [1.0, 1.1, 1.2, 1.0]
    behind, bound = how_far_behind([judged("a", own)], [judged("b", theirs)])
    tokens = np.array(TOKENS)
    a, b = tokens * own, tokens * theirs
    assert behind == pytest.approx(100 * (a.sum() / b.sum() - 1))
    left = 100 * ((a.sum() - a) / (b.sum() - b) - 1)  # without each of the rows: the jackknife
    error = math.sqrt(3 / 4 * np.square(left - behind).sum())
    t = stats.t.ppf(0.95, b.sum() ** 2 / np.square(b).sum() - 1)
    assert bound == pytest.approx(behind - t * error, rel=1e-9)
    twice = how_far_behind([judged("a", own, 0), judged("a", own, 1)], [judged("b", theirs, 0), judged("b", theirs, 1)])
    assert twice == pytest.approx((behind, bound))


def test_who_goes_on():
    rows = {
        "leader": [1.0, 1.1, 1.2, 1.0],
        "close": [1.1, 1.0, 1.3, 1.0],
        "shown": [1.11, 1.21, 1.31, 1.11],
        "last": [3.0, 1.0, 0.9, 1.9],
        "lost": [math.inf] * 4,
    }
    runs = {name: [judged(name, each)] for name, each in rows.items()}

    def standing(names, most):
        return standings({name: runs[name] for name in names}, most)

    found = standing(reversed(rows), 4)
    assert [each.method for each in found] == ["leader", "close", "shown", "last", "lost"]
    assert [each.goes_on for each in found] == [True, True, False, True, False]
    assert found[0].behind == 0 and found[2].bound > 0 > found[3].bound and found[4].loss is None
    assert [each.goes_on for each in standing(rows, 2)] == [True, True, False, False, False]
    assert [each.goes_on for each in standing(("shown", "leader"), 2)] == [True, True]
    assert not any(each.goes_on for each in standing(("lost",), 2))


@pytest.mark.parametrize(
    ("count", "finalists", "rungs", "sizes"),
    [(13, 4, 2, [8, 4]), (2, 3, 2, [3, 3]), (8, 2, 3, [6, 4, 2])],
)
def test_sizes_fall_to_the_finalists(count, finalists, rungs, sizes):
    assert rung_sizes(count, finalists, rungs) == sizes


def test_steps_of_the_rungs():
    assert rung_steps(HalvingConfig(3), 40) == (10, 20)
    assert rung_steps(HalvingConfig(3), 2) == (1,) and rung_steps(HalvingConfig(3, [5, 9]), 40) == (5, 9)
    with pytest.raises(QweftError, match=r"shorter than the last runs, which have 6 steps, got 9; lower them"):
        rung_steps(HalvingConfig(3, [5, 9]), 6)  # of one epoch, as is known with the data


def halved(places, folder, **changes):
    methods = {
        "lora": MethodConfig({**LORA, "r": 1}, learning_rate=1e-5),
        "fast": MethodConfig(LORA, search_from=0.05),
        "faster": MethodConfig({**LORA, "target_modules": "all-linear"}, search_from=0.05),
        "same_rate": MethodConfig({**LORA, "r": 3}, rate_of="fast"),
        "wild": MethodConfig(LORA, learning_rate=1e38),
    }
    search = {"search": True, "search_seeds": 1, "search_rates": 3, "halving": HalvingConfig(2), "recommend": True}
    data = {"validation_rows": 8, "test_rows": 8, **changes.pop("data", {})}
    return comparison(places, folder, **{"methods": methods, "data": data, **search, **changes})


@pytest.fixture(scope="module")
def finished(places, tmp_path_factory):
    config = halved(places, tmp_path_factory.mktemp("halved"))
    return config, Path(config.output), results(config)


def test_finalists_make_fresh_seeds_on_the_test_rows(finished):
    config, output, made = finished
    first, second = made["halving"]
    assert (first["steps"], second["steps"]) == (1, 2) and first["seeds"] == [1000]
    assert {each["method"] for each in first["standings"]} == set(config.methods)
    on = [each["method"] for each in second["standings"] if each["goes_on"]]
    assert len(on) == 2 and {run["method"] for run in made["runs"]} == {"base", *on}
    assert {run["seed"] for run in made["runs"]} == {0, 1, 2}
    assert {entry["reference"] for entry in made["summary"].values()} == {second["standings"][0]["method"]}
    kept = json.loads(next(output.glob("rung-1/fast-*/run.json")).read_text())
    assert kept["config"]["evaluation"]["split"] == "validation" and kept["config"]["training"]["seed"] == 1000
    assert kept["config"]["training"]["max_steps"] == 1 and not list(output.glob("rung-*/*/adapter"))
    judged_by = json.loads((output / f"{on[0]}-0" / "run.json").read_text())["config"]
    assert judged_by["evaluation"]["split"] == "test" and judged_by["training"]["max_steps"] == 4


def test_the_rates_of_the_last_rung_are_used(finished):
    _, output, made = finished
    for entry in made["runs"]:
        if entry["method"] in made["search"]:
            assert entry["learning_rate"] == made["search"][entry["method"]]["best"]
    rates = {each["method"]: each["rate"] for each in made["halving"][0]["standings"]}
    tried = [json.loads(path.read_text())["run"] for path in output.glob("rung-1/fast-*/run.json")]
    losses = {run["learning_rate"]: run["eval_loss"] for run in tried}
    assert len(losses) == 3 and rates["lora"] == 1e-5 and rates["fast"] == min(losses, key=losses.get)
    assert rates["fast"] / 2 < rates["same_rate"] < 2 * rates["fast"]


def test_the_winners_adapter_is_kept(finished):
    _, output, made = finished
    found, winner = made["recommendation"], output / "winner"
    own = output / f"{found['method']}-{found['seed']}"
    assert found["seed"] == 0 and found["method"] in {entry["method"] for entry in made["runs"]}
    for file in (own / "adapter").iterdir():
        assert (winner / "adapter" / file.name).read_bytes() == file.read_bytes()
    assert (winner / "run.json").read_bytes() == (own / "run.json").read_bytes()
    text = (output / "report.md").read_text()
    assert found["text"].split(" (")[0] in text.replace("\\", "")


def test_a_stopped_one_goes_on_where_it_was(finished, tmp_path, capsys):
    config, output, made = finished
    copy = tmp_path / "out"
    shutil.copytree(output, copy)
    gone = [next(copy.glob("rung-2/*/run.json")).parent, copy / f"{made['recommendation']['method']}-1"]
    for folder in gone:
        shutil.rmtree(folder)
    again = results(replace(config, output=str(copy)))
    assert all((folder / "run.json").is_file() for folder in gone)
    losses = [[entry["eval_loss"] for entry in each["runs"]] for each in (again, made)]
    assert losses[0] == losses[1] and again["recommendation"] == made["recommendation"]
    said = capsys.readouterr().out
    assert "rung 1 of 2, 1 step: " in said and "wild (diverged)" in said and "talk with it: qweft chat " in said


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"halving": HalvingConfig(None, [2])}, "halving.rungs needs halving.finalists"),
        ({"halving": HalvingConfig(2, [4, 4])}, "halving.rungs must be ascending"),
        ({"halving": HalvingConfig(), "budget": "1h"}, "budget 1h: a time needs halving.finalists"),
        ({"search": False, "data": {"validation_rows": 0}}, "halving needs validation rows"),
        ({"search": False, "evaluation": {"split": "validation"}}, "halving would choose on the validation rows"),
    ],
)
def test_what_cannot_be_halved(places, tmp_path, changes, key):
    with pytest.raises(QweftError) as fault:
        check_comparison(halved(places, tmp_path, **changes))
    assert str(fault.value).startswith(key)


def test_a_data_file_alone_ends_in_a_sentence(places, tmp_path, monkeypatch, capsys):
    """From the command line, with three candidates; 40 rows are enough, and 10 are told what is missing."""
    own = {"lora": (LORA, 0.01), "wide": ({**LORA, "r": 4}, 0.01), "ia3": ({"peft_type": "IA3"}, 0.01)}
    monkeypatch.setitem(starters.CANDIDATES, "quick", own)
    costs = Costs([(0.5, 0.1)] * 3, 0.01, 0.01)
    monkeypatch.setattr("qweft.comparison.search.pacing.measured", lambda *_: costs)
    monkeypatch.chdir(tmp_path)
    words = ["compare", places[1], "--model", places[0], "--budget", "4min", "--train", "--training.batch_size", "8"]
    assert main([*words, "--evaluation.answers", "0"]) == 0
    said = capsys.readouterr().out
    assert "3 methods in rungs of " in said and "2 min" in said
    assert "of a budget of 2 min" in said and "winner: runs/rows/winner/adapter" in said
    assert "adapter: runs/rows/trained/adapter" in said
    record = json.loads((tmp_path / "runs/rows/trained/run.json").read_text())
    assert record["config"]["training"]["found_in_steps"] and record["config"]["training"]["max_steps"] is None
    assert main(["compare", "runs/rows/config.yaml"]) == 0
    assert "winner: runs/rows/winner/adapter" in capsys.readouterr().out
    rows = tmp_path / "few.jsonl"
    rows.write_text("".join(f'{{"prompt": "q{n}", "completion": "{n}"}}\n' for n in range(10)))
    assert main(["compare", "few.jsonl", "--model", places[0]]) == 2
    assert "gives 10 usable rows in 10 groups" in capsys.readouterr().err
