"""A metric of answers is one file: a module put into the folder of metrics is taken, checked, scored and shown."""

import json
import subprocess
import sys

import pytest
from tests.tiny_folder import save_tiny_model

from qweft.adapter.attach import adapter_config, attach
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.training.run import save_adapter

TOY = """
from qweft.errors import QweftError
from qweft.evaluation.metric import AnswerMetric
from qweft.evaluation.scores import compare_means


def _check(source):
    if "rows" not in source:
        raise QweftError(f"evaluation.metrics toy: data {source} has no rows")


def _score(source, conversations, both):
    lengths = [[len(answer.generated) for answer in answers] for answers in (both.base, both.adapted)]
    return [compare_means("length", *lengths, unit="letters", note="a toy")], list(map(list, zip(*lengths)))


METRIC = AnswerMetric(_score, _check, packages=("poplib",), extra="toys")
"""
RUN = """
import sys
import qweft.evaluation.metrics as folder

folder.__path__.append(sys.argv.pop(1))
missing = sys.argv.pop(1)
if missing != "-":
    sys.modules[missing] = None
from qweft.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    save_tiny_model(folder / "model")
    specification = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]}
    model = attach(load_model(ModelConfig(name=str(folder / "model"))).model, adapter_config(specification))
    save_adapter(model, folder / "adapter")
    rows = [{"question": f"{n} and 1?", "answer": f"{n + 1}"} for n in range(20)]
    for name in ("rows", "other"):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "metrics").mkdir()
    (folder / "metrics" / "toy.py").write_text(TOY)
    return folder


def evaluated(folder, *options, source="rows", metrics="[toy]", missing="-"):
    return subprocess.run(
        [
            sys.executable, "-c", RUN, str(folder / "metrics"), missing, "evaluate", str(folder / "adapter"),
            "--model.name", str(folder / "model"), "--data.source", str(folder / f"{source}.jsonl"),
            "--data.validation_rows", "2", "--data.test_rows", "4", "--data.max_length", "64",
            "--evaluation.max_new_tokens", "4", "--evaluation.metrics", metrics, *options,
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_it_is_scored_and_shown(folder):
    found = evaluated(folder)
    assert found.returncode == 0, found.stderr
    assert "length, letters" in found.stdout and "length: a toy" in found.stdout
    plain = json.loads(evaluated(folder, "--json").stdout)
    assert [score["name"] for score in plain["scores"]] == ["loss", "perplexity", "length"]
    lengths = [[len(answer["generated"][which]) for which in ("base", "adapted")] for answer in plain["answers"]]
    assert [answer["toy"] for answer in plain["answers"]] == lengths and len(lengths) == 4


def test_what_it_cannot_score_and_what_it_lacks_is_told(folder):
    assert "evaluation.metrics toy: data" in evaluated(folder, source="other").stderr
    assert "needs the package poplib; pip install '.[toys]'" in evaluated(folder, missing="poplib").stderr
    assert "text, reasoning, verifier, toy" in evaluated(folder, metrics="[toi]").stderr
