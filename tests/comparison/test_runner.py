"""A comparison from config to report, on a tiny model: what it writes, and that it can be stopped and started."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from qweft.cli.main import main
from qweft.comparison import runner, trial
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.plan import resolve, resolve_search
from qweft.data.config import DataConfig
from qweft.environment import ALONE
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.run import evaluate
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

HYBRID = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}
LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
RUN_FIELDS = {
    "model",
    "data",
    "method",
    "seed",
    "trainable_parameters",
    "steps",
    "train_loss",
    "train_loss_curve",
    "eval_loss",
    "eval_perplexity",
    "step_seconds_median",
    "peak_memory_bytes",
}


def comparison(places, folder):
    return ComparisonConfig(
        methods={
            "lora": MethodConfig(LORA),
            "lora_small": MethodConfig({**LORA}, match_parameters="qtha"),
            "qtha": MethodConfig(HYBRID, learning_rate=1e-2),
            "mpo": MethodConfig({**HYBRID, "preset": "mpo"}),
        },
        model=ModelConfig(name=places[0]),
        data=DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        training=TrainingConfig(max_steps=3, batch_size=2, gradient_accumulation=1),
        evaluation=EvaluationConfig(answers=1, max_new_tokens=4),
        seeds=[0, 1],
        rates=[1e-3, 1e-2],
        output=str(folder / "out"),
    )


@pytest.fixture
def config(places, tmp_path):
    return comparison(places, tmp_path)


def run(config):
    path = runner.compare(config, "methods: {}\n", "qweft compare test.yaml")
    return path, json.loads((path.parent / "results.json").read_text())


@pytest.fixture(scope="module")
def finished(places, tmp_path_factory):
    """A comparison that was made, and its results: for tests that change neither."""
    config = comparison(places, tmp_path_factory.mktemp("finished"))
    return config, run(config)[1]


def test_writes_everything_and_does_not_repeat_what_is_finished(finished, monkeypatch):
    config, results = finished
    output = Path(config.output)
    files = {file.name for file in output.iterdir() if file.is_file()}
    assert files - {"loss_by_time.png"} == {  # drawn if nothing else ran meanwhile
        "results.json",
        "plan.json",
        "report.md",
        "loss_curves.png",
        "loss_by_size.png",
        "report.html",
    }
    assert set(results) == {
        "runs",
        "format",
        "planned_runs",
        "summary",
        "environment",
        "step_times",
        "config_yaml",
        "title",
        "plan",
    }
    assert set(results["step_times"]) == {"alone", "cpu_by_others"}
    assert results["step_times"]["alone"] is not True or results["step_times"]["cpu_by_others"] <= ALONE
    assert len(results["runs"]) == 1 + 2 * 4
    assert all(set(record) >= RUN_FIELDS for record in results["runs"])
    base = results["runs"][0]
    assert (base["method"], base["steps"], base["trainable_parameters"]) == ("base", 0, 0)
    for record in results["runs"][1:]:
        assert record["steps"] == 3
        assert [step for step, _ in record["train_loss_curve"]] == [1, 2, 3]
        assert (output / f"{record['method']}-{record['seed']}" / "adapter" / "adapter_model.safetensors").is_file()
    for record in results["runs"]:
        sums, tokens = zip(*record["eval_row_losses"], strict=True)
        assert len(sums) == 4 and sum(sums) / sum(tokens) == pytest.approx(record["eval_loss"], rel=1e-6)
    # all methods start from the same model on the same rows, so their first losses are one number
    for seed in (0, 1):
        firsts = [record["train_loss_curve"][0][1] for record in results["runs"][1:] if record["seed"] == seed]
        assert firsts == pytest.approx([firsts[0]] * 4, rel=1e-5)
    assert set(results["summary"]) == {"base", "lora", "lora_small", "qtha", "mpo"}
    assert results["summary"]["lora"]["difference"]["mean"] == 0

    monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished run was repeated"))
    again = run(config)[1]
    assert again["runs"] == results["runs"]


def test_goes_on_where_it_was_stopped(config, monkeypatch):
    methods = {name: config.methods[name] for name in ("lora", "qtha")}
    config = dataclasses.replace(config, methods=methods)
    fit, calls = trial.fit, []
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_REPORTS", 0.0)

    def stopping(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return fit(*arguments)

    monkeypatch.setattr(trial, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    so_far = "4 of 5 runs are finished: all that follows may change."
    assert so_far in (Path(config.output) / "report.html").read_text()
    assert main(["report", config.output]) == 0 and so_far in (Path(config.output) / "report.md").read_text()
    counted = []
    monkeypatch.setattr(trial, "fit", lambda *arguments: counted.append(1) or fit(*arguments))
    stopped = run(config)[1]
    assert len(counted) == 1 and stopped["planned_runs"] == len(stopped["runs"])
    assert "runs are finished" not in (Path(config.output) / "report.html").read_text()
    monkeypatch.setattr(trial, "fit", fit)
    whole = run(dataclasses.replace(config, output=config.output + "-whole"))[1]
    for one, other in zip(stopped["runs"], whole["runs"], strict=True):
        assert one["eval_loss"] == other["eval_loss"], one["method"]


def test_another_configuration_is_not_mixed_in(finished):
    config, _ = finished
    changed = dataclasses.replace(config, training=dataclasses.replace(config.training, max_steps=2))
    with pytest.raises(QweftError, match=r"lora-0 holds a run of another configuration; choose another --output"):
        run(changed)


def test_a_run_that_changes_the_shared_base_model_stops_the_comparison(config, monkeypatch):
    fit = trial.fit

    def changing(model, *arguments):
        with torch.no_grad():
            model.get_base_model().lm_head.weight[0, 0] += 1
        return fit(model, *arguments)

    monkeypatch.setattr(trial, "fit", changing)
    with pytest.raises(QweftError, match=r"methods\.lora changes the base model"):
        run(config)
    assert not list(Path(config.output).glob("lora-*/run.json"))


def test_a_run_that_diverges_is_an_outcome(config, monkeypatch):
    fit = trial.fit

    def diverging(model, rows, pad, training, label, *_):
        if label == "mpo, seed 0":
            raise trial.DivergedError("the loss is not a number", ((1, 4.0), (2, float("nan"))))
        return fit(model, rows, pad, training, label)

    monkeypatch.setattr(trial, "fit", diverging)
    _, results = run(config)
    failed = [record for record in results["runs"] if record["eval_loss"] is None]
    assert [(record["method"], record["seed"]) for record in failed] == [("mpo", 0)]
    assert results["summary"]["mpo"]["diverged"] == 1


def test_a_kept_adapter_can_be_evaluated_by_its_folder_alone(finished):
    config, results = finished
    record = next(record for record in results["runs"] if record["method"] == "qtha" and record["seed"] == 0)
    found = evaluate(Path(config.output) / "qtha-0" / "adapter", {"evaluation": {"answers": 0}})
    assert found.adapted.loss == pytest.approx(record["eval_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {}}, "at least one method"),
        ({"reference": "lra"}, "reference 'lra' is not among the methods .*did you mean 'lora'"),
        ({"seeds": []}, "seeds must be"),
        ({"seeds": [1, 1]}, "seeds must be"),
        ({"seeds": [-1]}, "seeds must be"),
        ({"evaluation": EvaluationConfig(answers=-1)}, "evaluation.answers must be at least 0"),
        ({"data": DataConfig(test_rows=0)}, "data.test_rows must be at least 1"),
        ({"methods": {"lora": MethodConfig({**LORA, "target_modules": "q"})}}, "the expression 'q' .*q_proj, k_proj"),
        (
            {"methods": {"lora": MethodConfig({**LORA, "modules_to_save": ["x"]})}},
            r"modules_to_save \['x'\] trains modules",
        ),
        (
            {"methods": {"lora": MethodConfig({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2})}},
            "before the text",
        ),
        ({"methods": {"base": MethodConfig(LORA)}, "reference": "base"}, "methods.base: a name"),
        ({"methods": {"../x": MethodConfig(LORA)}, "reference": "../x"}, "a name is letters"),
        ({"methods": {"lora": MethodConfig(LORA, learning_rate=0.0)}}, "methods.lora.learning_rate must be above 0"),
        ({"methods": {"rung": MethodConfig(LORA)}, "reference": "rung"}, "in the folders of a halving"),
        ({"methods": {"lora": MethodConfig(LORA, match_parameters="qtha")}}, "'qtha' is no method with a size"),
        ({"methods": {"lora": MethodConfig({**LORA, "target_modules": ["q"]})}}, "methods.lora: target module 'q'"),
        (
            {"methods": {"lora": MethodConfig(LORA, match_time="lra")}},
            r"lora\.match_time: 'lra' is no method with a number",
        ),
        ({"methods": {"lora": MethodConfig(LORA, match_time="lora")}}, r"lora\.match_time: 'lora' is no method with"),
        ({"methods": {"lora": MethodConfig(LORA), "a": MethodConfig(LORA, rate_of="lor")}}, "did you mean 'lora'"),
        (
            {"methods": {"lora": MethodConfig(LORA, learning_rate=1.0, rate_of="lora")}},
            "either learning_rate or rate_of",
        ),
        (
            {"methods": {"lora": MethodConfig(LORA), "a": MethodConfig(LORA, match_time="lora")}, "recommend": True},
            r"recommend compares methods at equal steps, and methods\.a\.match_time gives it others; leave one",
        ),
        ({"rates": []}, "rates must be"),
        ({"rates": [0.0]}, "rates must be"),
        ({"search_steps": 0}, "search_steps must be at least 1"),
        ({"search_seeds": 3}, r"search_seeds must be at most the number of seeds \(2\)"),
        ({"search": True, "data": DataConfig(validation_rows=0)}, "search needs validation rows"),
        ({"inspect": True, "data": DataConfig(validation_rows=0)}, "inspect needs validation rows"),
        (
            {"search": True, "evaluation": EvaluationConfig(split="validation")},
            r"rows that they were tuned on; set evaluation\.split to test",
        ),
    ],
)
def test_a_wrong_comparison_is_named_before_training(config, changes, message):
    with pytest.raises(QweftError, match=message):
        run(dataclasses.replace(config, **changes))


def test_without_a_search_each_method_trains_at_the_shared_rate(places, tmp_path):
    """`search_from` is where a search begins; `qweft init` writes it for each method."""
    config = comparison(places, tmp_path)
    methods = {
        "lora": MethodConfig(LORA, search_from=0.05),
        "other": MethodConfig({**LORA, "r": 3}, search_from=0.02, learning_rate=0.03),
        "taker": MethodConfig({**LORA, "r": 1}, rate_of="lora"),
    }
    config = dataclasses.replace(config, methods=methods)
    rates = {method.name: method.learning_rate for method in resolve(config).methods}
    assert rates == {"lora": 5e-4, "other": 0.03, "taker": 5e-4}
    searched = {
        method.name: method.learning_rate for method in resolve(dataclasses.replace(config, search=True)).methods
    }
    assert searched == {"lora": 0.05, "other": 0.03, "taker": 0.05}
    tuned = {method.name: method.learning_rate for method in resolve_search(config).methods}
    assert tuned["lora"] == 0.05 and tuned["other"] == 0.03
