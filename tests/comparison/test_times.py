"""Equal wall-clock: the steps that fit into another method's time."""

import dataclasses
from pathlib import Path

import pytest

from qweft.comparison import runner, times
from qweft.comparison.config import MethodConfig
from qweft.comparison.methods import resolve_methods
from qweft.comparison.set_up import set_up
from qweft.errors import QweftError
from qweft.records import read_record
from qweft.training.loop import Fit
from tests.comparison.comparison_examples import comparison, results

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}


@pytest.fixture
def config(places, tmp_path):
    methods = {
        "lora": MethodConfig(LORA, learning_rate=1e-2),
        "large": MethodConfig({**LORA, "r": 8}),
        "as_long": MethodConfig({**LORA, "r": 4}, match_parameters="large", match_time="lora", rate_of="large"),
    }
    training = {"max_steps": 6}
    return comparison(places, tmp_path, methods=methods, training=training, seeds=[3, 1], rates=[1e-3, 1e-2])


@pytest.fixture
def timed(monkeypatch):
    """Steps that take as long as is said here; what was asked, in order."""
    seconds, asked = {"lora": [9.0, 1.0, 3.0, 2.0], "as_long": [9.0, 4.0, 1.0, 5.0]}, []

    def fit(context, method, seed):
        asked.append(method.name)
        return took(seconds[method.name].pop(0))

    monkeypatch.setattr(times, "timed_fit", fit)
    return asked


def took(step):
    return Fit(1.0, (), 4, step, 1, basis_seconds=0.0)


def test_equal_time_is_as_many_steps_as_the_medians_of_interleaved_rounds_say(config, timed):
    made = results(config)["runs"]
    assert timed == ["lora", "as_long"] * 4
    steps = {record["method"]: record["steps"] for record in made}
    assert steps == {"base": 0, "lora": 6, "large": 6, "as_long": 3}  # 6 steps of 2 s are 3 steps of 4 s
    matched = {"matches_time": "lora", "matches_parameters": "large"}
    matched |= {"step_seconds": [4.0, 2.0], "basis_seconds": [0.0, 0.0], "cpu_by_others": None}
    budgets = {record["method"]: record["budget"] for record in made}
    assert budgets == {"base": None, "lora": None, "large": None, "as_long": matched}
    sizes = {record["method"]: record["trainable_parameters"] for record in made}
    assert sizes["as_long"] == sizes["large"]
    # what goes on later has the same steps, whatever a step takes then
    assert [r["steps"] for r in results(config)["runs"]] == [r["steps"] for r in made] and len(timed) == 8


def test_times_are_measured_on_the_shared_model_and_leave_it_as_it_was(config):
    made = results(config)["runs"]  # each run holds the base model against its checksum
    (kept,) = read_record(Path(config.output) / "step_times.json", "").values()
    assert (kept["method"], kept["matches_time"]) == ("as_long", "lora")
    assert len(kept["seconds"]) == 2 and all(0 < found < 10 for found in kept["seconds"])
    assert next(r["budget"]["step_seconds"] for r in made if r["budget"]) == kept["seconds"]


def test_times_are_kept_by_what_they_depend_on(config, monkeypatch):
    """Another rate, seed, length or method beside leaves them; another batch or adapter is measured beside them."""
    asked = []
    monkeypatch.setattr(
        times, "timed_fit", lambda context, m, seed: asked.append(m.name) or took(2.0 if m.name == "lora" else 4.0)
    )
    shared = set_up(config, runner.Console(quiet=True))

    def steps(**changes):
        asked.clear()
        changed = dataclasses.replace(config, **changes)
        context = dataclasses.replace(shared, config=changed)
        methods = resolve_methods(changed, shared.loaded.model)
        found = {m.name: m.steps for m in times.with_matched_time(context, methods, changed.seeds[0])}
        return {name: number for name, number in found.items() if number is not None}, sorted(set(asked))

    training, fresh = config.training, ({"as_long": 3}, ["as_long", "lora"])
    assert steps() == fresh
    assert steps(training=dataclasses.replace(training, learning_rate=1.0, max_steps=12)) == ({"as_long": 6}, [])
    assert steps(seeds=[7]) == ({"as_long": 3}, [])
    methods = {**config.methods, "longer": MethodConfig({**LORA, "r": 9}, match_time="large")}
    assert steps(methods=methods) == ({"as_long": 3, "longer": 6}, ["large", "longer"])
    for changes in ({"batch_size": 4}, {"packing": True}, {"device": "noisy"}, {"gradient": "parameter_shift"}):
        slower = dataclasses.replace(training, **changes)
        assert steps(training=slower) == fresh, changes
        assert steps(training=slower) == steps() == ({"as_long": 3}, [])
    for text in ("{}", '{"format": 1, "x": {"seconds": [1.0, 1.0]}}'):
        (Path(config.output) / "step_times.json").write_text(text)
        with pytest.raises(QweftError, match=r"step_times\.json .*; remove that file"):
            steps()


def test_the_steps_of_the_search_keep_the_ratio_of_equal_time(config, timed):
    methods = {**config.methods, "as_long": dataclasses.replace(config.methods["as_long"], rate_of=None)}
    found = results(dataclasses.replace(config, methods=methods, search=True, search_steps=2))["search"]
    assert {name: entry.get("steps") for name, entry in found.items()} == {"lora": None, "large": 2, "as_long": 1}


def test_a_dry_run_says_what_each_method_gets(config):
    table = runner.describe(dataclasses.replace(config, search=True)).renderables[0]
    cells = {str(column.header).replace("\n", " "): list(map(str, column.cells)) for column in table.columns}
    assert cells["learning rate"] == ["0.01", "searched", "as large"]
    assert cells["steps"] == ["6", "6", "time of lora"]
