"""A comparison that goes on later: what may be asked for then, and what is said of a folder that was damaged."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from qweft.comparison import runner, trial
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

TARGETS = {"target_modules": ["q_proj", "v_proj"]}
LORA = {"peft_type": "LORA", "r": 2, **TARGETS}
HYBRID = {"r": 2, "width": 8, "bond_dimension": 2, **TARGETS}


@pytest.fixture
def config(places, tmp_path):
    return ComparisonConfig(
        methods={
            "lora": MethodConfig(LORA),
            "qtha": MethodConfig({"preset": "qtha", **HYBRID}),
            "vera": MethodConfig({"peft_type": "VERA", "r": 4, **TARGETS}),
        },
        model=ModelConfig(name=places[0]),
        data=DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        training=TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1, learning_rate=1e-2),
        evaluation=EvaluationConfig(answers=0),
        seeds=[1, 0],
        output=str(tmp_path / "out"),
    )


def run(config):
    path = runner.compare(config, "methods: {}\n", "qweft compare test.yaml")
    return json.loads((path.parent / "results.json").read_text())["runs"]


def test_rows_that_have_moved_are_the_same_rows(config, places, tmp_path):
    config = dataclasses.replace(config, methods={"lora": config.methods["lora"]}, seeds=[0])
    run(config)
    moved = dataclasses.replace(config.data, source=str(shutil.copy(places[1], tmp_path / "moved.jsonl")))
    later = run(dataclasses.replace(config, data=moved, seeds=[0, 1]))
    assert {each["data"] for each in later} == {moved.source} and len(later) == 3


def inspections(runs):
    return {f"{r['method']}-{r['seed']}": r["inspection"] for r in runs if r["inspection"] is not None}


@pytest.fixture
def nothing_trained(monkeypatch):
    """Call it, and from then on a training fails the test."""
    return lambda: monkeypatch.setattr(trial, "fit", lambda *_: pytest.fail("a finished run was repeated"))


def test_an_inspection_that_is_asked_for_later_is_that_of_the_training(config, nothing_trained):
    at_once = inspections(run(dataclasses.replace(config, inspect=True, output=f"{config.output}-at-once")))
    assert at_once["lora-0"]["dequantised"] is None
    assert at_once["qtha-0"]["dequantised"]["fits"].keys() >= {"constant", "affine", "quadratic"}
    assert set(at_once) == {"lora-0", "qtha-0"}
    chips = at_once["qtha-0"]["chips"]
    assert (
        at_once["lora-0"]["chips"] is None and chips["evaluations"] % chips["circuits_a_token"] == 0 and chips["costs"]
    )
    without = run(config)
    assert not inspections(without)
    nothing_trained()
    asked = dataclasses.replace(config, inspect=True)
    later = run(asked)
    for name, found in at_once.items():
        assert_near(inspections(later)[name], found)
    assert [{**r, "inspection": None} for r in later] == without
    # written down: it is not measured again, and the record is one that goes on being read
    kept = json.loads((Path(config.output) / "qtha-0" / "run.json").read_text())
    assert kept["run"]["inspection"] == inspections(later)["qtha-0"] and kept["config"]["adapter"]["r"] == 2
    assert run(asked) == later == run(config)


def assert_near(found, wanted):
    """The same numbers, but for the rounding of sums in another order."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_near(found[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_near(one, other)
    else:
        assert found == (pytest.approx(wanted, rel=1e-4, abs=1e-6) if isinstance(wanted, float) else wanted)


def test_runs_of_another_configuration_are_refused_before_the_search(config, monkeypatch, nothing_trained):
    config = dataclasses.replace(config, methods={"lora": MethodConfig(LORA), "more": MethodConfig(LORA)}, seeds=[0])
    made = run(config)
    searched = []

    def search(context, methods, grid):
        searched.append(grid)
        return methods, {each.name: {"best": 1e-2, "validation_loss": {}} for each in methods}

    asked = dataclasses.replace(config, search=True)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "with_searched_rates", search)
        assert [each["eval_loss"] for each in run(asked)] == [each["eval_loss"] for each in made]
        assert len(searched) == 1
        other = dataclasses.replace(asked, training=dataclasses.replace(config.training, max_steps=3))
        with pytest.raises(QweftError, match=r"lora-0 holds a run of another configuration; choose another"):
            run(other)
        assert len(searched) == 1

        def finds(context, methods, grid):
            return [dataclasses.replace(each, learning_rate=0.02) for each in search(context, methods, grid)[0]], {}

        patch.setattr(runner, "with_searched_rates", finds)
        with pytest.raises(QweftError, match=r"its learning rate is 0\.01, and this search found 0\.02; "):
            run(asked)
    nothing_trained()
    saved = json.loads((Path(config.output) / "more-0/run.json").read_text())
    folder = Path(config.output) / "search/more-0.01-1001"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(saved | {"fingerprint": "another"}))
    with pytest.raises(QweftError, match=r"more-0\.01-1001 holds a run of another configuration; choose another"):
        run(asked)  # before the search of lora


def test_a_damaged_record_is_named_with_the_way_out(config):
    one = dataclasses.replace(config, methods={"lora": MethodConfig(LORA)}, seeds=[0])
    before = run(one)
    record = Path(config.output) / "lora-0" / "run.json"
    whole = record.read_text()
    for text in (b"", b"{", b"[]", b"{}", b'{"fingerprint": "x"}', b'{"fingerprint": "x", "run": {}}', b"\xff"):
        record.write_bytes(text)
        with pytest.raises(QweftError, match=r"run\.json is .*; remove that file to make the run again"):
            run(one)
    made = json.loads(whole)
    made["run"]["inspection"] = {"layers": 3}  # which only the report reads, after all runs
    record.write_text(json.dumps(made))
    with pytest.raises(QweftError, match=r"run\.json is .*; remove that file to make the run again"):
        run(one)
    record.unlink()
    assert run(one)[1]["eval_loss"] == before[1]["eval_loss"]


def test_runs_on_other_weights_of_the_same_folder_are_told(config, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(config.model.name, folder)
    model, methods = dataclasses.replace(config.model, name=str(folder)), {"lora": MethodConfig(LORA)}
    one = dataclasses.replace(config, model=model, methods=methods, seeds=[0])
    run(one)
    weights = load_file(folder / "model.safetensors")
    save_file({key: 1.5 * each for key, each in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match=r"base holds a run on other weights of the base model, .* remove that folder"):
        run(one)


@pytest.mark.parametrize("name", ["results.json", "report.md", "report.html"])
def test_files_of_another_program_are_not_replaced(config, name):
    Path(config.output).mkdir()
    (Path(config.output) / name).write_text('{"mine": 1}')
    with pytest.raises(QweftError, match=rf"holds {name}, and no comparison wrote it or it is damaged; choose another"):
        run(config)
    assert (Path(config.output) / name).read_text() == '{"mine": 1}'
