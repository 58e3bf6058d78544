"""Records of runs, comparisons and sweeps, and checkpoints, that are malformed."""

import json
import math
import shutil

import pytest
import yaml

from qweft.cli.main import main
from qweft.comparison.report.content import Content, figures
from qweft.comparison.report.markdown import render_markdown
from qweft.comparison.report.page import page_of
from qweft.comparison.results_file import read_results, reading
from qweft.comparison.step_times import _pairs
from qweft.comparison.step_times import _read as read_step_times
from qweft.comparison.summarise import summarise
from qweft.comparison.trial import read_record as read_run
from qweft.errors import QweftError
from qweft.evaluation.record import sections_of
from qweft.sweep.run import _losses_in as read_losses
from qweft.training.checkpoints import Checkpoints
from tests.comparison.comparison_examples import run, runs
from tests.malformed.cases import cases, check_typed, command, outcome
from tests.malformed.mutations import JSON_ODD, malformed_json, mutated


class StoppedError(Exception):
    """As if the power had failed."""


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory):
    """A run's config file, the folder of the run when finished, and that of one stopped after a step."""
    root = tmp_path_factory.mktemp("trained")
    model, rows = tiny_run
    config = {
        "model": {"name": model, "dtype": "float32", "device": "cpu"},
        "data": {"source": rows, "train_rows": 8, "validation_rows": 8, "test_rows": 8, "max_length": 48},
        "adapter": {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]},
        "training": {"max_steps": 2, "batch_size": 2, "gradient_accumulation": 1},
        "checkpoints": {"every": 1},
        "resume": "auto",
    }
    complete = Checkpoints.on_save

    def stop(self, args, state, control, **kwargs):
        complete(self, args, state, control, **kwargs)
        raise StoppedError

    (root / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "on_save", stop)
        with pytest.raises(StoppedError):
            main(["train", str(root / "config.yaml"), "--output", str(root / "stopped")])
    assert main(["train", str(root / "config.yaml"), "--output", str(root / "whole")]) == 0
    return root


def run_cell():
    """The record of a run of a comparison, with all that one may hold."""
    found = run(
        "qtha", 0, 1.0, answers=({"prompt": "p", "reference": "r", "generated": "g"},), seconds=1.5,
        started="2026-01-01T00:00:00+00:00", eval_row_losses=((4.5, 3), (1.0, 2), (4.5, 2)),
        eval_row_groups=(0, 0, 1), adapter_bytes=100,
        budget={"matches_time": "lora", "matches_parameters": None, "step_seconds": [0.1, 0.2],
                "basis_seconds": [0.0, 0.0]},
        forgetting={"source": "other", "loss": 1.0, "row_losses": [[4.5, 2], [1.0, 1]]},
    )  # fmt: skip
    return {"fingerprint": "a", "config": {"adapter": {}}, "run": found.to_json()}


def read_cell(path):
    """What a resumed comparison does with the record of a finished run."""
    _, found = read_run(path)
    everyone = [*runs(base=[1.9], lora=[1.0, 1.1]), found]
    record = {
        "runs": [each.to_json() for each in everyone],
        "summary": {name: entry.to_json() for name, entry in summarise(everyone, "lora").items()},
    }
    with reading(path):
        content = Content.read(record)
        render_markdown(content, figures(content))
    return found


def read_run_again(path):
    """What `evaluate` takes from the record of a run."""
    sections = sections_of(path.parent / "adapter", {})
    for section in sections:
        check_typed(section)
    return sections


def read_times(path):
    times = read_step_times(path)
    for entry in times.values():
        assert all(math.isfinite(value) for pair in _pairs(entry) for value in pair), entry
    return times


def read_test(path):
    found = read_losses(path)
    assert all(value is None or math.isfinite(value) for value in found.values() if not isinstance(value, str))
    return found


TIMES = {"key": {"method": "a", "matches_time": "b", "seconds": [0.1, 0.2], "basis_seconds": [0.0, 0.0]}}
RECORDS = {
    "cell/run.json": (run_cell(), read_cell),
    "step_times.json": (TIMES, read_times),
    "test.json": ({"base": 1.0, "adapted": 0.9, "standard_error": None}, read_test),
}


def test_mutated_records(trained, tmp_path):
    whole = json.loads((trained / "whole" / "run.json").read_text())
    shutil.copytree(trained / "whole", tmp_path / "whole")
    known = {**RECORDS, "whole/run.json": (whole, read_run_again)}
    for number, draw in cases("records"):
        name = draw.choice(sorted(known))
        record, read = known[name]
        content = malformed_json(record, draw)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        outcome(f"{name} {number}: {content!r:.3000}", read, tmp_path / name)


def test_a_long_text_for_a_step_time_is_not_said_whole(tmp_path):
    content = {"key": {**TIMES["key"], "seconds": ["x" * 100_000, 0.2]}}
    (tmp_path / "step_times.json").write_text(json.dumps(content))
    assert outcome("a long text", read_times, tmp_path / "step_times.json") is None


def test_mutated_records_of_a_finished_run(trained, tmp_path, monkeypatch):
    """`train --resume auto` takes the results of a finished run from its record, or trains."""

    def train(config):
        raise QweftError("it would train")

    monkeypatch.setattr("qweft.training.run.load_model", train)
    monkeypatch.chdir(tmp_path)
    record = tmp_path / "out" / "run.json"
    record.parent.mkdir()
    whole = json.loads((trained / "whole" / "run.json").read_text())
    config = yaml.safe_load((trained / "config.yaml").read_text())
    for name in ("validation_rows", "test_rows"):
        del config["data"][name]
    (tmp_path / "default.yaml").write_text(yaml.safe_dump(config))
    for number, draw in cases("results"):
        kept = {name: whole[name] for name in ("config", "decides")}
        rest = {name: value for name, value in whole.items() if name not in kept}
        content = malformed_json(rest, draw)
        if draw.random() < 0.8:
            content = json.dumps(kept).encode()[:-1] + b", " + content.lstrip(b"{")
        record.write_bytes(content)
        place = draw.choice((trained / "config.yaml", tmp_path / "default.yaml"))
        command(f"{number}: {content!r:.3000}", "train", place, "--output", "out")


SHARED = {
    "training": {"max_steps": 1, "batch_size": 2, "gradient_accumulation": 1, "learning_rate": 1e-2},
    "evaluation": {"batch_size": 8, "answers": 0},
}  # fmt: skip
LORA = {"peft_type": "LORA", "target_modules": ["q_proj"]}
RESUMED = {
    "compare": {"methods": {"lora": {"adapter": {**LORA, "r": 2}}}, "reference": "lora", "seeds": [0], **SHARED},
    "sweep": {"adapter": LORA, "space": {"adapter": {"r": {"values": [1, 2]}}}, "trials": 2, **SHARED},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tiny_run, tmp_path_factory):
    """A finished comparison and a finished sweep, and their config files."""
    root = tmp_path_factory.mktemp("made")
    for verb, config in RESUMED.items():
        model, rows = tiny_run
        data = {"source": rows, "train_rows": 8, "validation_rows": 8, "test_rows": 8, "max_length": 48}
        path = root / f"{verb}.yaml"
        path.write_text(yaml.safe_dump({"model": {"name": model, "device": "cpu"}, "data": data, **config}))
        assert main([verb, str(path), "--output", str(root / verb)]) == 0
    return root


@pytest.mark.parametrize("verb", RESUMED)
def test_mutated_records_of_what_is_resumed(made, tmp_path, verb):
    """A record that is refused is left as it is; one that is taken gives a report."""
    for number, draw in cases("resumed"):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.copytree(made / verb, tmp_path / "out")
        records = sorted(path for path in (tmp_path / "out").glob("*/*.json") if path.parent.name != "adapter")
        path = draw.choice(records)
        record = json.loads(path.read_text())
        content = malformed_json(record, draw)
        if "run" in record and draw.random() < 0.7:
            content = json.dumps(
                record | {"run": json.loads(json.dumps(mutated(record["run"], draw, JSON_ODD)))}
            ).encode()
        path.write_bytes(content)
        what = f"{verb} {number}, {path.relative_to(tmp_path)}: {content!r:.3000}"
        command(what, verb, made / f"{verb}.yaml", "--output", tmp_path / "out")


def read_and_render(folder):
    """A report without its pictures, which take longest."""
    file, record = read_results(folder)
    with reading(file):
        content = Content.read(record)
        drawn = figures(content)
        page_of(content, drawn), render_markdown(content, drawn)


PICKLES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_config.json",
           "adapter_model.safetensors")  # fmt: skip
