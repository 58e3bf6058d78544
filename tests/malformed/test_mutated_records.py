"""Records of runs and comparisons that are malformed: one sentence comes of each, or what the record says."""

import json
import shutil

import pytest
import yaml

from qweft.cli.main import main
from qweft.comparison.report.content import Content, figures
from qweft.comparison.report.page import render_markdown
from qweft.comparison.results_file import reading
from qweft.comparison.summarise import summarise
from qweft.comparison.trial import read_record as read_run
from qweft.evaluation.record import sections_of
from tests.comparison.comparison_examples import run, runs
from tests.malformed.cases import cases, check_typed, outcome
from tests.malformed.mutations import malformed_json


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory):
    """A config file and the folder of its run."""
    root = tmp_path_factory.mktemp("trained")
    model, rows = tiny_run
    config = {
        "model": {"name": model, "dtype": "float32", "device": "cpu"},
        "data": {"source": rows, "train_rows": 8, "validation_rows": 8, "test_rows": 8, "max_length": 48},
        "adapter": {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]},
        "training": {"max_steps": 2, "batch_size": 2, "gradient_accumulation": 1},
        "resume": "auto",
    }
    (root / "config.yaml").write_text(yaml.safe_dump(config))
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
    return {"format": 1, "fingerprint": "a", "config": {"adapter": {}}, "run": found.to_json()}


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


def read_run_again(path):
    """What `evaluate` takes from the record of a run."""
    for section in sections_of(path.parent / "adapter", {}):
        check_typed(section)


def test_mutated_records(trained, tmp_path):
    whole = json.loads((trained / "whole" / "run.json").read_text())
    shutil.copytree(trained / "whole", tmp_path / "whole")
    known = {"cell/run.json": (run_cell(), read_cell), "whole/run.json": (whole, read_run_again)}
    for number, draw in cases("records"):
        name = draw.choice(sorted(known))
        record, read = known[name]
        content = malformed_json(record, draw)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        outcome(f"{name} {number}: {content!r:.3000}", read, tmp_path / name)
