"""Fingerprints, by which finished runs are known: a change makes all of them anew."""

from types import SimpleNamespace

import pytest
import torch

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.run import trial
from qweft.comparison.run.context import Context
from qweft.evaluation.config import EvaluationConfig
from qweft.training.config import TrainingConfig

LORA = Method("lora", {"peft_type": "LORA", "r": 2}, 0.01, 8)
TEST_ROWS = EvaluationConfig(answers=0)
OTHER_ROWS = EvaluationConfig(answers=0, forgetting="other", forgetting_rows=2)


def context(evaluation, steps):
    loaded = SimpleNamespace(source=SimpleNamespace(origin="hub"), dtype=torch.float32, device=torch.device("cpu"))
    data = SimpleNamespace(report=SimpleNamespace(fingerprint="sha256:1"))
    training = TrainingConfig(gradient_accumulation=8, max_steps=steps, learning_rate=0.25, seed=9)
    config = ComparisonConfig({}, training=training, evaluation=evaluation, seeds=[0], output="out")
    return Context(config, loaded, data, None, "", [{"input_ids": [1, 2], "labels": [-100, 2]}])


@pytest.mark.parametrize(
    ("method", "evaluation", "steps", "recorded"),
    [
        (None, TEST_ROWS, 3, "00e5668f494cd215808d78df6727d25ba863e77ae1d557127642717abcd2cc6a"),
        (LORA, TEST_ROWS, 3, "ca437da6c5693f7f48a723676c992d43cb6f7fdd18d519f074ee12ebed185b08"),
        (LORA, TEST_ROWS, 5, "3480f98fde8955b73c7eda12b7b14cb8cee26078c245e8d4c86d6a282eab75a7"),
        (LORA, OTHER_ROWS, 3, "2fe4e4ee0d637f4cf6bf9f15bf4436e61501728f2760948dc64c0333fc7ed2c4"),
    ],
)
def test_a_finished_run_is_known_by_its_fingerprint(method, evaluation, steps, recorded):
    assert trial._fingerprint(context(evaluation, steps), method, 1) == recorded
