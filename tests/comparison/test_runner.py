"""A comparison from config to report, on a tiny model: what it writes, and that it can be stopped and started."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qweft.cli.main import main
from qweft.comparison import runner
from qweft.comparison.checks import for_search
from qweft.comparison.config import MethodConfig
from qweft.comparison.plan import resolve
from qweft.comparison.run import trial
from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from tests.comparison.comparison_examples import LORA, comparison, results

HYBRID = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}
FILES = {"results.json", "plan.json", "config.yaml", "report.md", "report.html", "loss_curves.png", "loss_by_size.png"}
KEYS = {"runs", "format", "planned_runs", "summary", "environment", "config_yaml", "title", "plan"}


@pytest.fixture
def config(places, tmp_path):
    """Of one method at one seed."""
    return comparison(places, tmp_path, training={"max_steps": 3}, seeds=[0])


@pytest.fixture(scope="module")
def finished(places, tmp_path_factory):
    """A comparison that was made, and its results: for tests that change neither."""
    methods = {
        "lora": LORA,
        "lora_small": MethodConfig(LORA, match_parameters="qtha"),
        "qtha": MethodConfig(HYBRID, learning_rate=1e-2),
        "mpo": {**HYBRID, "preset": "mpo"},
    }
    changes = {"training": {"max_steps": 3}, "evaluation": {"answers": 1, "max_new_tokens": 4}, "inspect": True}
    config = comparison(places, tmp_path_factory.mktemp("finished"), methods=methods, seeds=[0, 1], **changes)
    return config, results(config)


@pytest.fixture
def nothing_trained(monkeypatch):
    """Call it, and from then on a training fails the test."""
    return lambda: monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished run was repeated"))


def test_writes_everything_and_does_not_repeat_what_is_finished(finished, nothing_trained):
    config, made = finished
    output = Path(config.output)
    assert {file.name for file in output.iterdir() if file.is_file()} >= FILES and set(made) == KEYS
    base, *runs = made["runs"]
    assert (base["method"], base["steps"], base["trainable_parameters"], len(runs)) == ("base", 0, 0, 2 * 4)
    for record in runs:
        assert record["steps"] == 3 and [step for step, _ in record["train_loss_curve"]] == [1, 2, 3]
        assert (output / f"{record['method']}-{record['seed']}" / "adapter" / "adapter_model.safetensors").is_file()
    for record in made["runs"]:
        sums, tokens = zip(*record["eval_row_losses"], strict=True)
        assert len(sums) == 4 and sum(sums) / sum(tokens) == pytest.approx(record["eval_loss"], rel=1e-6)
    # all methods start from the same model on the same rows, so their first losses are one number
    for seed in (0, 1):
        firsts = [record["train_loss_curve"][0][1] for record in runs if record["seed"] == seed]
        assert firsts == pytest.approx([firsts[0]] * 4, rel=1e-5)
    assert set(made["summary"]) == {"base", "lora", "lora_small", "qtha", "mpo"}
    assert made["summary"]["lora"]["difference"]["mean"] == 0
    nothing_trained()
    assert results(config)["runs"] == made["runs"] == results(dataclasses.replace(config, inspect=False))["runs"]


def test_adapters_of_the_first_seed_are_inspected(finished):
    inspections = {f"{each['method']}-{each['seed']}": each["inspection"] for each in finished[1]["runs"]}
    assert {name for name, found in inspections.items() if found} == {"lora-0", "lora_small-0", "qtha-0", "mpo-0"}
    assert inspections["lora-0"]["dequantised"] is None
    assert inspections["qtha-0"]["dequantised"]["fits"].keys() >= {"constant", "affine", "quadratic"}


def test_goes_on_where_it_was_stopped(config, monkeypatch):
    config = dataclasses.replace(config, methods={**config.methods, "qtha": MethodConfig(HYBRID)}, seeds=[0, 1])
    fit, calls = trial.fit, []
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_REPORTS", 0.0)

    def stopping(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return fit(*arguments)

    monkeypatch.setattr(trial, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        results(config)
    report = Path(config.output) / "report.html"
    assert "4 of 5 runs" in report.read_text() and main(["report", config.output]) == 0
    counted = []
    monkeypatch.setattr(trial, "fit", lambda *arguments: counted.append(1) or fit(*arguments))
    stopped = results(config)
    assert len(counted) == 1 and stopped["planned_runs"] == len(stopped["runs"])
    assert "4 of 5 runs" not in report.read_text()
    monkeypatch.setattr(trial, "fit", fit)
    whole = results(dataclasses.replace(config, output=config.output + "-whole"))
    assert [each["eval_loss"] for each in stopped["runs"]] == [each["eval_loss"] for each in whole["runs"]]


def test_runs_of_another_configuration_are_refused(config, monkeypatch, nothing_trained):
    config = dataclasses.replace(config, methods={"lora": MethodConfig(LORA), "more": MethodConfig(LORA)})
    results(config)
    nothing_trained()
    with pytest.raises(QweftError, match="lora-0 holds a run of another configuration"):
        results(dataclasses.replace(config, training=dataclasses.replace(config.training, max_steps=2)))
    asked = dataclasses.replace(config, search=True)

    def finds(context, plan):
        methods = [dataclasses.replace(each, learning_rate=0.02) for each in plan.methods]
        return dataclasses.replace(plan, methods=methods), {}

    with monkeypatch.context() as patch:
        patch.setattr(runner, "with_searched_rates", finds)
        with pytest.raises(QweftError, match="lora-0 holds a run of another configuration"):
            results(asked)
    saved = json.loads((Path(config.output) / "more-0/run.json").read_text())
    folder = Path(config.output) / f"search/more-{config.training.learning_rate or 5e-4!r}-1001"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(saved | {"fingerprint": "another"}))
    with pytest.raises(QweftError, match="-1001 holds a run of another configuration"):
        results(asked)  # before the search of lora


def test_a_run_that_changes_the_shared_base_model_stops_the_comparison(config, monkeypatch):
    fit = trial.fit

    def changing(model, *arguments):
        with torch.no_grad():
            model.get_base_model().lm_head.weight[0, 0] += 1
        return fit(model, *arguments)

    monkeypatch.setattr(trial, "fit", changing)
    with pytest.raises(QweftError, match=r"methods\.lora changes the base model"):
        results(config)


def test_a_run_that_diverges_is_an_outcome(config, monkeypatch):
    def diverging(*_):
        raise trial.DivergedError("the loss is not a number", ((1, 4.0), (2, float("nan"))))

    monkeypatch.setattr(trial, "fit", diverging)
    made = results(config)
    assert [(each["eval_loss"], each["steps"]) for each in made["runs"][1:]] == [(None, 2)]
    assert made["summary"]["lora"]["diverged"] == 1


def test_moved_rows_are_the_same_and_other_weights_of_the_same_folder_are_told(config, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(config.model.name, folder)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, name=str(folder)))
    results(config)
    moved = dataclasses.replace(config.data, source=str(shutil.copy(config.data.source, tmp_path / "moved.jsonl")))
    config = dataclasses.replace(config, data=moved, seeds=[0, 1])
    later = results(config)["runs"]
    assert {each["data"] for each in later} == {moved.source} and len(later) == 3
    weights = load_file(folder / "model.safetensors")
    save_file({key: 1.5 * each for key, each in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match="base holds a run on other weights"):
        results(config)


def test_a_damaged_record_is_named_with_the_way_out(config):
    before = results(config)["runs"]
    record = Path(config.output) / "lora-0" / "run.json"
    made = json.loads(record.read_text())
    made["run"]["eval_loss"] = "low"
    for text in (b"{", json.dumps(made).encode()):
        record.write_bytes(text)
        with pytest.raises(QweftError, match=r"run\.json .*; remove that file to make the run again"):
            results(config)
    record.unlink()
    assert results(config)["runs"][1]["eval_loss"] == before[1]["eval_loss"]


def test_files_of_another_program_are_not_replaced(config):
    path = Path(config.output) / "report.md"
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(QweftError, match=r"holds report\.md"):
        results(config)
    assert path.read_text() == "mine"


def named(name, **method):
    return {"methods": {name: MethodConfig(LORA, **method)}, "reference": name}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"methods": {}}, "at least one method"),
        ({"data": DataConfig(test_rows=0)}, "data.test_rows"),
        ({"methods": {"lora": MethodConfig({**LORA, "target_modules": ["q"]})}}, "methods.lora: target module 'q'"),
        ({"methods": {"lora": MethodConfig({**LORA, "modules_to_save": ["x"]})}}, "modules_to_save"),
        (named("base"), "methods.base: a name"),
        (named("lora", rate_of="lor"), "lora.rate_of: 'lor'"),
        (named("lora", learning_rate=1.0, rate_of="lora"), "learning_rate or rate_of"),
        ({"most_seeds": 3}, "most_seeds"),
        ({"rates": [1e-2], "search_seeds": 3}, "search_seeds must be at most"),
        ({"search": True, "data": DataConfig(validation_rows=0)}, "search needs validation rows"),
        ({"search": True, "evaluation": EvaluationConfig(split="validation")}, "search .*evaluation.split"),
    ],
)
def test_a_wrong_comparison_is_named_before_training(config, changes, key):
    with pytest.raises(QweftError, match=key):
        results(dataclasses.replace(config, **changes))


def test_rates_of_methods(config):
    """Its own, else where its search begins, else the shared one."""
    methods = {
        "lora": MethodConfig(LORA, search_from=0.05),
        "other": MethodConfig({**LORA, "r": 3}, search_from=0.02, learning_rate=0.03),
        "taker": MethodConfig({**LORA, "r": 1}, rate_of="lora"),
        "plain": MethodConfig({**LORA, "r": 4}),
    }
    config = dataclasses.replace(config, methods=methods)
    for asked in (config, dataclasses.replace(config, search=True), for_search(config)):
        assert [method.learning_rate for method in resolve(asked).methods] == [0.05, 0.03, 0.05, 5e-4]
