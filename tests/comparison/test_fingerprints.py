"""Fingerprints that earlier versions wrote: finished runs are known by them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from qweft.comparison import step_times, trial
from qweft.comparison.context import Context, RunSettings
from qweft.comparison.methods import Method
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

LORA = Method("lora", {"peft_type": "LORA", "r": 2}, 0.01, 8)
TEST_ROWS = EvaluationConfig(answers=0)
OTHER_ROWS = EvaluationConfig(answers=0, forgetting="other", forgetting_rows=2)


def context(settings):
    loaded = SimpleNamespace(source=SimpleNamespace(origin="hub"), dtype=torch.float32, device=torch.device("cpu"))
    data = SimpleNamespace(report=SimpleNamespace(fingerprint="sha256:1"))
    return Context(settings, loaded, data, None, "", None, [{"input_ids": [1, 2], "labels": [-100, 2]}])


def settings(evaluation):
    training = TrainingConfig(gradient_accumulation=8, max_steps=3, learning_rate=0.25, seed=9)
    return RunSettings(ModelConfig(), DataConfig(), training, evaluation, 0, False, "out")


@pytest.mark.parametrize(
    ("method", "evaluation", "recorded"),
    [
        (None, TEST_ROWS, "00e5668f494cd215808d78df6727d25ba863e77ae1d557127642717abcd2cc6a"),
        (LORA, TEST_ROWS, "7697d1b17f7ca9eed68a1f258c64afca289ba6ec223b518d6669afea6d6164e1"),
        (replace(LORA, steps=5), TEST_ROWS, "798794862b784cc29150b7afb65eefbd196e8a6c210034dbc8f538f095c038a7"),
        (LORA, OTHER_ROWS, "e1135492efbb81eb75728bd0b7dd09b71c824ef359821cf6b163e75c146b9e08"),
    ],
    ids=["base", "method", "own steps", "other rows"],
)
def test_a_finished_run_is_known_by_the_fingerprint_of_an_earlier_version(method, evaluation, recorded):
    assert trial._fingerprint(context(settings(evaluation)), method, 1) == recorded


def test_measured_times_are_known_by_the_key_of_an_earlier_version():
    other = replace(LORA, adapter={"peft_type": "LORA", "r": 4})
    recorded = "26d3a57379d5e0577e1321aec7fe08efa74e587f8bee2e69aa2d9c2c1f984e82"
    assert step_times._key(context(settings(TEST_ROWS)), LORA, other) == recorded
