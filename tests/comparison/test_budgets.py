"""Equal wall-clock, the search before the runs, and what the results say of both."""

import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qweft.cli.compare import COMMAND
from qweft.cli.parser import parse
from qweft.comparison import claims, runner, step_times, trial, tune
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.executors.set_up import set_up
from qweft.comparison.methods import resolve_methods
from qweft.comparison.plan import resolve
from qweft.comparison.speed import one_at_a_time
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.records import read_record
from qweft.training.config import TrainingConfig
from qweft.training.loop import Fit
from tests.comparison.comparison_examples import run as example
from tests.comparison.test_peft_methods import meta_llama

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}


@pytest.fixture
def config(places, tmp_path):
    return ComparisonConfig(
        methods={
            "lora": MethodConfig(LORA, learning_rate=1e-2),
            "large": MethodConfig({**LORA, "r": 8}),
            "as_long": MethodConfig({**LORA, "r": 4}, match_parameters="large", match_time="lora", rate_of="large"),
        },
        model=ModelConfig(name=places[0]),
        data=DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        training=TrainingConfig(max_steps=6, batch_size=2, gradient_accumulation=1),
        evaluation=EvaluationConfig(answers=0),
        seeds=[3, 1],
        rates=[1e-3, 1e-2],
        output=str(tmp_path / "out"),
    )


def run(config):
    path = runner.compare(config, "methods: {}\n", "qweft compare test.yaml")
    return json.loads((path.parent / "results.json").read_text())


@pytest.fixture
def timed(monkeypatch):
    """Steps that take as long as is said here; what was asked, in order."""
    seconds, asked = {"lora": [9.0, 1.0, 3.0, 2.0], "as_long": [9.0, 4.0, 1.0, 5.0]}, []

    def fit(context, method, seed):
        asked.append(method.name)
        return took(seconds[method.name].pop(0))

    monkeypatch.setattr(step_times, "timed_fit", fit)
    return asked


def took(step, bases=0.0):
    return Fit(1.0, (), 4, step, 1, basis_seconds=bases)


def test_equal_time_is_as_many_steps_as_the_medians_of_interleaved_rounds_say(config, timed):
    results = run(config)
    assert timed == ["lora", "as_long"] * 4
    steps = {record["method"]: record["steps"] for record in results["runs"]}
    assert steps == {"base": 0, "lora": 6, "large": 6, "as_long": 3}  # 6 steps of 2 s are 3 steps of 4 s
    budgets = {record["method"]: record["budget"] for record in results["runs"]}
    matched = {"matches_time": "lora", "matches_parameters": "large"}
    matched |= {"step_seconds": [4.0, 2.0], "basis_seconds": [0.0, 0.0], "cpu_by_others": None}
    assert budgets == {"base": None, "lora": None, "large": None, "as_long": matched}
    sizes = {record["method"]: record["trainable_parameters"] for record in results["runs"]}
    assert sizes["as_long"] == sizes["large"]
    # what goes on later has the same steps, whatever a step takes then
    assert [r["steps"] for r in run(config)["runs"]] == [r["steps"] for r in results["runs"]] and len(timed) == 8


def test_times_are_measured_on_the_shared_model_and_leave_it_as_it_was(config):
    results = run(config)  # each run holds the base model against its checksum
    (kept,) = read_record(Path(config.output) / "step_times.json", "").values()
    assert (kept["method"], kept["matches_time"]) == ("as_long", "lora")
    assert len(kept["seconds"]) == 2 and all(0 < found < 10 for found in kept["seconds"])
    assert next(r["budget"]["step_seconds"] for r in results["runs"] if r["budget"]) == kept["seconds"]


def test_times_are_kept_by_what_they_depend_on(config, monkeypatch):
    """Another rate, seed, length or method beside leaves them; another batch or adapter is measured beside them."""
    asked = []
    monkeypatch.setattr(
        step_times, "timed_fit", lambda context, m, seed: asked.append(m.name) or took(2.0 if m.name == "lora" else 4.0)
    )
    plan = resolve(config)
    shared = set_up(plan.settings, plan.executor, plan.workers, runner.Console(quiet=True))

    def steps(**changes):
        asked.clear()
        changed = dataclasses.replace(config, **changes)
        context = dataclasses.replace(shared, settings=dataclasses.replace(shared.settings, training=changed.training))
        methods = resolve_methods(changed, shared.loaded.model)
        found = {m.name: m.steps for m in step_times.with_matched_time(context, methods, changed.seeds[0])}
        return {name: number for name, number in found.items() if number is not None}, sorted(set(asked))

    training = config.training
    assert steps() == ({"as_long": 3}, ["as_long", "lora"])
    assert steps(training=dataclasses.replace(training, learning_rate=1.0, max_steps=12)) == ({"as_long": 6}, [])
    assert steps(seeds=[7]) == ({"as_long": 3}, [])
    methods = {**config.methods, "longer": MethodConfig({**LORA, "r": 9}, match_time="large")}
    assert steps(methods=methods) == ({"as_long": 3, "longer": 6}, ["large", "longer"])
    assert steps(methods=methods) == ({"as_long": 3, "longer": 6}, [])
    wider = dataclasses.replace(training, batch_size=4)
    assert steps(training=wider) == ({"as_long": 3}, ["as_long", "lora"])
    assert steps(training=wider) == steps() == ({"as_long": 3}, [])
    for changes in ({"packing": True}, {"device": "noisy"}, {"gradient": "parameter_shift"}):
        slower = dataclasses.replace(training, **changes)
        assert steps(training=slower) == ({"as_long": 3}, ["as_long", "lora"]), changes
        assert steps(training=slower) == ({"as_long": 3}, [])
    negative = '{"format": 1, "x": {"seconds": [1.0, 1.0], "basis_seconds": [-1.0, 0.0]}}'
    for text in ("{", "[]", "{}", negative, '{"format": 1, "x": {"seconds": [1.0]}}'):
        (Path(config.output) / "step_times.json").write_text(text)
        with pytest.raises(QweftError, match=r"step_times\.json is .*; remove that file to measure again"):
            steps()


def test_the_search_chooses_on_validation_rows_alone_before_the_runs(config, timed, monkeypatch):
    config = dataclasses.replace(config, search=True, search_steps=4, search_seeds=2)
    judged, real = [], trial.held_out_loss

    def loss(model, rows, pad, batch, *_):
        judged.append(rows)
        return real(model, rows, pad, batch)

    monkeypatch.setattr(trial, "held_out_loss", loss)
    results = run(config)
    found = results["search"]
    searched = len(found["large"]["validation_loss"]) * 2
    validation, test = judged[0], judged[-1]
    assert validation != test
    assert judged == [validation] * searched + [test] * 7  # 3 methods at 2 seeds and the base model
    assert found["lora"] == {"given": 1e-2, "best": 1e-2, "validation_loss": {}}
    assert found["large"]["steps"] == 4 and found["large"]["seeds"] == [3, 1]
    losses = found["large"]["validation_loss"]
    best = min(losses, key=losses.get)
    assert found["large"]["best"] == float(best)
    assert found["as_long"] == {"rate_of": "large", "best": float(best), "validation_loss": {}}
    rates = {record["method"]: record["learning_rate"] for record in results["runs"]}
    assert rates == {"base": None, "lora": 1e-2, "large": float(best), "as_long": float(best)}
    kept = [json.loads(path.read_text()) for path in Path(config.output).glob("search/large-*/run.json")]
    each = [record["run"]["eval_loss"] for record in kept if record["run"]["learning_rate"] == float(best)]
    assert losses[best] == pytest.approx(sum(each) / 2) and {record["run"]["steps"] for record in kept} == {4}
    assert not list(Path(config.output).glob("search/*/adapter"))

    monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished run was repeated"))
    assert run(config)["search"] == found


def test_the_steps_of_the_search_keep_the_ratio_of_equal_time(config, timed):
    methods = {**config.methods, "as_long": dataclasses.replace(config.methods["as_long"], rate_of=None)}
    found = run(dataclasses.replace(config, methods=methods, search=True, search_steps=2))["search"]
    assert {name: entry.get("steps") for name, entry in found.items()} == {"lora": None, "large": 2, "as_long": 1}


def test_the_grid_grows_so_often_and_no_more(config, monkeypatch):
    """A method that is best at the highest rate, however high."""

    def judged(context, method, seed, folder, keep_adapter):
        return trial.Run("m", "d", method.name, seed, 1, 1, 1.0, (), 1 / method.learning_rate, 1.0, 1.0, 1)

    monkeypatch.setattr(tune, "run_trial", judged)
    config = dataclasses.replace(config, methods={"lora": MethodConfig(LORA)})
    found = json.loads(tune.tune(config, "qweft tune test.yaml").read_text())["methods"]["lora"]
    assert list(found["validation_loss"]) == ["0.001", "0.01", "0.1", "1.0", "10.0"]
    assert found["best"] == 10 and found["at_end_of_grid"]


def test_a_dry_run_says_what_each_method_gets(config, capsys):
    table = runner.describe(dataclasses.replace(config, search=True)).renderables[0]
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["learning rate"] == ["0.01", "searched", "as large"]
    assert cells["steps"] == ["6", "6", "time of lora"]
    assert table.caption == "all adapters: peft_type LORA, target_modules q_proj"  # once, not in every row
    assert not any("target_modules" in cell for cell in cells["adapter"])


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
    monkeypatch.setattr(claims, "SECONDS_BETWEEN_LOOKS", 0)
    config = dataclasses.replace(config, methods={"lora": MethodConfig(LORA)})
    found = json.loads(tune.tune(config, "qweft tune test.yaml").read_text())["methods"]["lora"]
    assert len(asked) == 3 and list(found["validation_loss"]) == ["0.001", "0.01", "0.1", "1.0"]
    assert found["best"] == 0.1 and not found["at_end_of_grid"]


def example_methods(name):
    """The config of that name, and its methods on the tiny model."""
    path = Path(__file__).parents[2] / "configs" / name
    assert f"qweft compare configs/{name}" in path.read_text()
    config = parse(ComparisonConfig, [str(path)], COMMAND)
    check_comparison(config)
    return config, {method.name: method for method in resolve_methods(config, meta_llama())}


def test_the_controls_are_a_comparison_whose_methods_can_be_made():
    config, methods = example_methods("controls.yaml")
    sizes = {name: method.trainable_parameters for name, method in methods.items()}
    assert sizes["mpo"] < sizes["frozen_linear"] < sizes["bias_linear"] < sizes["product_linear"] < sizes["qtha"]
    assert methods["qtha_equal_time"].budget["matches_time"] == "lora"
    # each hybrid has what a yes needs: no circuit, and the classical twins of its form, all else equal
    for hybrid, form in (("qtha", "linear"), ("qwthn", "weighted")):
        for function in ("mlp", "fourier"):
            twin = config.methods[f"{function}_{form}"].adapter
            assert twin == {**config.methods[hybrid].adapter, "core": f"{function}_{form}"}


@pytest.mark.parametrize(
    ("spans", "alone"),
    [
        ([(0, 10.0), (10, 5.0), (15, 3.0)], True),
        ([(0, 10.9), (10, 5.0)], True),  # it began somewhere in the second 10
        ([(10, 5.0), (0, 10.0)], True),  # in whatever order they are told
        ([(0, 10.0), (8, 10.0)], False),
        ([(0, 100.0), (10, 5.0), (50, 5.0)], False),  # the last one lies in the first, not in its neighbour
        ([(0, 10.0), (3, None), (12, 1.0)], True),
    ],
)
def test_runs_that_were_made_at_once_are_told(spans, alone):
    begin = datetime(2026, 1, 1, 23, 59, 50, tzinfo=UTC)
    runs = [
        example("lora", seed, started=(begin + timedelta(seconds=at)).isoformat(timespec="seconds"), seconds=taken)
        for seed, (at, taken) in enumerate(spans)
    ]
    assert one_at_a_time(runs) == alone
