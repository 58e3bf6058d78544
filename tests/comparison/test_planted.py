"""Comparisons whose answer is known before they run, from the config to the sentence, on a tiny model."""

import json
import math
from types import SimpleNamespace

import pytest

from qweft.comparison import runner, trial
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.findings import findings
from qweft.comparison.results import Run
from qweft.comparison.summarise import summarise
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig
from tests.tiny_folder import save_rows, save_tiny_model

LORA = {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One LoRA under two names, and a third time at a learning rate that changes nothing."""
    folder = tmp_path_factory.mktemp("planted")
    config = ComparisonConfig(
        methods={
            "still": MethodConfig(LORA, learning_rate=1e-9),
            "lora": MethodConfig(LORA, learning_rate=2e-2),
            "again": MethodConfig(LORA, learning_rate=2e-2),
        },
        model=ModelConfig(name=save_tiny_model(folder / "model")),
        data=DataConfig(source=save_rows(folder / "rows.jsonl"), validation_rows=0, test_rows=8, max_length=48),
        training=TrainingConfig(max_steps=12, batch_size=4, gradient_accumulation=1),
        evaluation=EvaluationConfig(answers=0),
        seeds=[0, 1, 2],
        reference="still",
        output=str(folder / "out"),
    )
    report = runner.compare(config, "", "qweft compare planted.yaml")
    return [Run.from_json(record) for record in json.loads((report.parent / "results.json").read_text())["runs"]]


def answer(runs, method, reference):
    """The finding on a method against a reference."""
    found = findings(summarise(runs, reference))
    return next(entry for entry in found if (entry.method, entry.other) == (method, reference))


def test_a_method_that_learns_is_shown_better_than_one_that_does_not(runs):
    better = answer(runs, "lora", "still")
    assert better.direction == "lower" and better.difference < -1
    assert better.text.startswith("lora better than still (LoRA, rank 4) at equal steps: yes, -")


def test_a_method_that_does_not_learn_is_shown_worse(runs):
    assert answer(runs, "still", "lora").direction == "higher"


def test_an_adapter_against_itself_has_equal_losses_and_is_not_shown(runs):
    losses = {name: [run.eval_row_losses for run in runs if run.method == name] for name in ("lora", "again")}
    assert losses["lora"] == losses["again"]
    assert answer(runs, "again", "lora").text == (
        "again better than lora (LoRA, rank 4) at equal steps: not decided, the losses are equal, with as many "
        "parameters."
    )


def test_a_run_that_diverged_has_the_steps_that_it_took_however_often_they_were_logged():
    named = SimpleNamespace(name="tiny", source="rows")
    context = SimpleNamespace(loaded=SimpleNamespace(source=named), settings=SimpleNamespace(data=named))
    assert trial._record(context, None, 0, None, None, [], ((10, 4.0), (20, math.nan))).steps == 20
    assert trial._record(context, None, 0, None, None, [], ()).steps == 0
