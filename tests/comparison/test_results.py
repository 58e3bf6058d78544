"""The record of a run, its file, and the environment."""

import json
import math

import pytest

from qweft.comparison.results import Run
from tests.comparison.comparison_examples import run


@pytest.mark.parametrize("method", ["base", "lora"])
def test_a_run_comes_back_from_json_as_it_was(method):
    before = run(
        method,
        loss=(12.345678 + 4.5) / 5,
        answers=({"prompt": "p", "reference": "r", "generated": "g"},),
        seconds=1.5,
        eval_row_losses=((12.345678, 3), (0.0, 0), (4.5, 2)),
    )
    assert Run.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_what_is_not_a_number_is_null_in_json_and_keeps_its_place():
    made = run("lora", loss=math.nan, train_loss_curve=((1, 2.0), (2, math.inf)), eval_row_losses=((math.inf, 3),))
    record = json.loads(json.dumps(made.to_json()))
    assert record["eval_loss"] is None and record["train_loss_curve"][1] == [2, None]
    back = Run.from_json(record)
    assert back.eval_loss is None and math.isnan(back.train_loss_curve[1][1]) and math.isnan(back.eval_row_losses[0][0])


def test_the_late_training_loss_is_that_of_the_last_quarter_of_the_steps():
    steps = tuple((step, 100.0 if step <= 6 else float(step)) for step in range(1, 9))
    assert run("lora", train_loss_curve=steps).late_train_loss == 7.5
    assert run("lora", train_loss_curve=((4, 9.0), (8, 2.0), (12, 1.5))).late_train_loss == 1.5
    for gone in ((*steps, (9, math.nan)), ()):
        assert run("lora", train_loss_curve=gone).late_train_loss is None
    assert run("lora", loss=None, train_loss_curve=steps).late_train_loss is None  # it diverged
    assert run("base").late_train_loss is None


def test_rows_that_belong_together_are_added_up():
    """Problems of one template go right or wrong together. A row without targets adds nothing."""
    rows = [[None, 0], [2.0, 3], [None, 1], [4.0, 2]]
    found = Run.from_json({**run("lora").to_json(), "eval_row_losses": rows, "eval_row_groups": [0, 0, 1, 1]})
    kept, (lost, tokens) = found.independent_losses
    assert kept == (2.0, 3) and math.isnan(lost) and tokens == 3
    alone = run("qtha", 0, eval_row_losses=((1.0, 2), (2.0, 3)))
    assert alone.independent_losses == alone.eval_row_losses
