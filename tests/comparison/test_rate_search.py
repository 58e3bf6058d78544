"""The search for learning rates by factors of two, on the tiny model and on curves that are written down."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest

from qweft.comparison.checks import for_search
from qweft.comparison.config import MethodConfig
from qweft.comparison.judge.searches import read_searches
from qweft.comparison.plan import resolve
from qweft.comparison.report.content import Content
from qweft.comparison.run import trial, workers
from qweft.comparison.search import tune
from tests.comparison.comparison_examples import comparison, results

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}


@pytest.fixture
def config(places, tmp_path):
    methods = {"lora": LORA, "given": MethodConfig({**LORA, "r": 1}, learning_rate=1e-2)}
    return comparison(places, tmp_path, methods=methods, training={"learning_rate": 2e-2}, search=True)


def on_curve(monkeypatch, loss):
    """Trainings whose loss is that of a curve of (log2(rate), seed); `None` stands for one that diverged."""
    asked = []

    def judged(context, method, seed, folder, keep_adapter):
        asked.append((method.learning_rate, seed))
        found = loss(math.log2(method.learning_rate), seed)
        return trial.Run("m", "d", method.name, seed, 1, 1, 1.0, (), found, 1.0, 1.0, 1)

    monkeypatch.setattr(tune, "run_trial", judged)
    return asked


def tuned(config):
    methods = {"lora": config.methods["lora"]}
    path = tune.tune(for_search(dataclasses.replace(config, methods=methods)), "qweft tune test.yaml")
    return json.loads(path.read_text())["methods"]["lora"]


def test_the_whole_search_on_a_model_and_what_becomes_of_it(config, monkeypatch, capsys):
    made = results(config)
    found = made["search"]["lora"]
    rates = sorted(float(rate) for rate in found["validation_loss"])
    assert 0.02 in rates and 3 <= len(rates) <= 12
    assert all(high == 2 * low for low, high in itertools.pairwise(rates))
    assert found["steps"] == 4 and found["seeds"] == [1000, 1001]  # all steps, at seeds that are not judged
    assert not set(found["seeds"]) & {record["seed"] for record in made["runs"]}
    kept = [json.loads(path.read_text())["run"] for path in Path(config.output).glob("search/*/run.json")]
    assert len(kept) == 2 * len(rates) and {record["seed"] for record in kept} == {1000, 1001}
    for rate in rates:
        each = {record["seed"]: record["eval_loss"] for record in kept if record["learning_rate"] == rate}
        assert found["by_seed"][repr(rate)] == [each[1000], each[1001]]
        assert found["validation_loss"][repr(rate)] == pytest.approx(sum(each.values()) / 2)
    lowest = float(min(found["validation_loss"], key=found["validation_loss"].get))
    assert found["at_end_of_grid"] == (lowest in (rates[0], rates[-1]))
    assert lowest / 2 < found["best"] < lowest * 2 and (found["best"] == lowest) == found["at_end_of_grid"]
    judged = {record["method"]: record["learning_rate"] for record in made["runs"]}
    assert judged == {"base": None, "lora": found["best"], "given": 1e-2}
    assert f"lora, learning rate {lowest}: validation loss " in capsys.readouterr().out
    content = Content.read(made)
    assert [entry.method for entry in content.search] == ["lora"]
    assert content.search[0].shortfall.nats == pytest.approx(found["shortfall"]["nats"])
    assert (Path(config.output) / "learning_rates.png").is_file()

    monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished run was repeated"))
    assert results(config)["search"] == made["search"]


def test_the_rate_is_that_of_the_parabolas_vertex_and_the_shortfall_is_kept(config, monkeypatch):
    optimum = math.log2(0.1)
    asked = on_curve(monkeypatch, lambda x, seed: 2 + 0.02 * (x - optimum) ** 2 + (seed % 2) * (0.1 + 0.001 * (x > -4)))
    found = tuned(config)
    assert found["best"] == pytest.approx(0.1, rel=0.05) and not found["at_end_of_grid"]
    assert found["best"] not in {rate for rate, _ in asked} and {seed for _, seed in asked} == {1000, 1001}
    assert 0 < found["shortfall"]["nats"] < 0.01 and found["shortfall"]["reason"] == ""
    table = tune.search_table(read_searches({"lora": found}))
    cells = [str(next(iter(column.cells))) for column in table.columns]
    assert cells == ["lora", "4, 0.02 to 0.16", str(found["best"]), "2.0506", "under 0.01%"]


def test_the_seeds_of_the_search_are_never_those_that_are_judged(config):
    def grid(**changes):
        return resolve(dataclasses.replace(config, **changes)).grid

    assert grid().seeds == grid(seeds=[*range(30)]).seeds == (1000, 1001)  # more seeds later leave the search as it is
    assert grid(seeds=[1000, 5, 1002], search_seeds=3).seeds == (1001, 1003, 1004)
    listed = grid(rates=[1e-2, 1e-3])
    assert (listed.rates, listed.seeds) == ((1e-3, 1e-2), (0,)) and grid(rates=[1.0], search_seeds=2).seeds == (0, 1)
    assert grid().trainings == 24 and grid(search_seeds=3, search_rates=5).trainings == 15
    assert listed.trainings == 5


def test_a_list_of_rates_is_tried_on_validation_rows_alone_before_the_runs(config, monkeypatch):
    methods = {
        "lora": MethodConfig(LORA, learning_rate=1e-2),
        "large": MethodConfig({**LORA, "r": 8}),
        "taker": MethodConfig({**LORA, "r": 4}, rate_of="large"),
    }
    config = dataclasses.replace(
        config, methods=methods, seeds=[3, 1], rates=[1e-3, 1e-2], search_steps=2, search_seeds=2
    )
    judged, real = [], trial.held_out_loss
    monkeypatch.setattr(
        trial, "held_out_loss", lambda model, rows, *rest: judged.append(rows) or real(model, rows, *rest)
    )
    made = results(config)
    found = made["search"]
    searched = len(found["large"]["validation_loss"]) * 2
    validation, test = judged[0], judged[-1]
    assert validation != test and judged == [validation] * searched + [test] * 7  # 3 methods at 2 seeds and the base
    assert set(found) == {"large"}
    losses = found["large"]["validation_loss"]
    best = min(losses, key=losses.get)
    assert (found["large"]["best"], found["large"]["steps"], found["large"]["seeds"]) == (float(best), 2, [3, 1])
    rates = {record["method"]: record["learning_rate"] for record in made["runs"]}
    assert rates == {"base": None, "lora": 1e-2, "large": float(best), "taker": float(best)}
    assert not list(Path(config.output).glob("search/*/adapter"))


def test_rates_that_another_process_is_at_are_waited_for(config, monkeypatch):
    """Whatever is busy when it is first asked for, the search finds the same."""
    asked = set()

    def judged(context, method, seed, folder, keep_adapter):
        if folder not in asked and method.learning_rate != 1e-3:
            asked.add(folder)
            return None
        loss = abs(math.log10(method.learning_rate / 0.1)) + 1
        return trial.Run("m", "d", method.name, seed, 1, 1, 1.0, (), loss, 1.0, 1.0, 1)

    monkeypatch.setattr(tune, "run_trial", judged)
    monkeypatch.setattr(workers, "SECONDS_BETWEEN_LOOKS", 0)
    found = tuned(dataclasses.replace(config, rates=[1e-3, 1e-2]))
    assert len(asked) == 3 and list(found["validation_loss"]) == ["0.001", "0.01", "0.1", "1.0"]
    assert found["best"] == 0.1 and not found["at_end_of_grid"]


def test_a_stopped_search_goes_on_where_it_was(config, monkeypatch, tmp_path):
    real, made = trial.fit, []

    def stopping(*arguments):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(arguments)
        return real(*arguments)

    whole = tuned(dataclasses.replace(config, output=str(tmp_path / "other")))
    monkeypatch.setattr(trial, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        tuned(config)
    monkeypatch.setattr(trial, "fit", lambda *arguments: made.append(arguments) or real(*arguments))
    assert tuned(config) == whole
    assert len(made) == 2 * len(whole["validation_loss"])  # none was made twice
