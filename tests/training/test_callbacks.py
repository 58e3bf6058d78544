"""Checkpointing and validation callbacks."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from qweft.adapter.cores import LinearCore
from qweft.evaluation.loss import held_out_loss
from qweft.training.callbacks import RunCallbacks, Validation
from qweft.training.loop import fit
from qweft.training.run import train
from qweft.training.trainer import IN_A_ROW, GradientWatch
from tests.training.test_loop import TRAINING, adapted, rows
from tests.training.test_resume import config, files, stopped  # noqa: F401


def validated(tmp_path, every=1, patience=None, rate=1e-2, steps=12):
    model, held_out = adapted(), rows(8)
    judge = Validation(every, patience, tmp_path / "best", lambda model: held_out_loss(model, held_out, 0, 4).loss)
    budget = replace(TRAINING, learning_rate=rate, max_steps=steps)
    return model, held_out, fit(model, rows(), 0, budget, callbacks=RunCallbacks(validation=judge))


def test_the_best_adapter_is_what_is_left(tmp_path):
    model, held_out, found = validated(tmp_path, rate=0.3, steps=10)
    losses = dict(found.validation_curve)
    assert list(losses) == list(range(1, 11))
    best = min(losses, key=losses.get)
    assert found.best_step == best and losses[best] < losses[10] and found.steps == 10
    assert held_out_loss(model, held_out, 0, 4).loss == pytest.approx(losses[best], rel=1e-6)


def test_a_run_that_gets_no_better_ends(tmp_path):
    _, _, found = validated(tmp_path, patience=3, rate=0.3, steps=60)
    assert found.steps == found.best_step + 3 < 60


def test_rates_by_part():
    """A part of rate zero stays where it is, the others move."""
    for still in ("circuit", "tensor_network", "linear"):
        model = adapted()
        with torch.no_grad():  # away from the start, at which some parts have no gradient while others stay
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        before = {name: each.detach().clone() for name, each in model.named_parameters() if each.requires_grad}
        fit(model, rows(), 0, replace(TRAINING, learning_rates={still: 0.0}))
        now = dict(model.named_parameters())
        moved = {name for name in before if not torch.equal(now[name], before[name])}
        ends = {"circuit": ("angles",), "tensor_network": (".operator.",), "linear": ("weight",)}
        of_part = {name for name in before if any(end in name for end in ends[still])}
        assert of_part and not of_part & moved and moved


def logged(**changes):
    """What the trainer logged."""
    history = []
    from qweft.training.trainer import RunTrainer

    log = RunTrainer.log

    def watched(self, logs, start_time=None):
        log(self, logs, start_time)
        history.append(dict(logs))

    RunTrainer.log = watched
    try:
        fit(adapted(), rows(), 0, replace(TRAINING, **changes))
    finally:
        RunTrainer.log = log
    return [each for each in history if "loss" in each]


@pytest.mark.parametrize("norm", [1e-3, 1e9])
def test_norms_by_part_are_those_before_the_gradient_is_shortened(norm):
    for each in logged(max_gradient_norm=norm):
        parts = [each[f"grad_norm_of/{part}"] for part in ("circuit", "tensor_network", "linear")]
        assert math.sqrt(sum(part**2 for part in parts)) == pytest.approx(each["grad_norm"], rel=1e-4)


def test_rates_by_part_are_logged():
    history = logged(learning_rates={"circuit": 1e-1})
    assert history[1]["learning_rate_of/circuit"] == pytest.approx(10 * history[1]["learning_rate_of/linear"])


def watched(circuit, other, steps):
    """Warnings where the two parts have gradients of these sizes, step by step."""
    model = torch.nn.Module()
    model.qwthn_core = torch.nn.ModuleDict({"default": LinearCore(3)})
    model.qwthn_core["default"].angles = torch.nn.Parameter(torch.zeros(5))
    model.qwthn_core["default"].linear_weight = torch.nn.Parameter(torch.zeros(3, 3))
    watch = GradientWatch()
    for step in range(steps):
        model.qwthn_core["default"].angles.grad = torch.full((5,), circuit(step))
        model.qwthn_core["default"].linear_weight.grad = torch.full((3, 3), other)
        watch.on_pre_optimizer_step(None, SimpleNamespace(global_step=step), None, model=model)
    return watch.warnings


def test_vanishing_gradients_are_told_once():
    assert watched(lambda step: 1e-9, 1.0, IN_A_ROW - 1) == []
    (warning,) = watched(lambda step: 1e-9, 1.0, 50)
    assert f"step {IN_A_ROW}: the circuits' gradients have vanished" in warning and "adapter.r" in warning
    assert watched(lambda step: 0.0 if step < 3 else 1e-2, 1.0, 50) == []  # a start at zero is no plateau
    assert watched(lambda step: 1e-9, 0.0, 50) == []  # nothing learns: that is another matter


def test_warnings_of_before_a_stop_are_in_the_record(files, tmp_path, monkeypatch, capsys):  # noqa: F811
    with monkeypatch.context() as patch:
        patch.setattr("qweft.training.trainer.VANISHED", 1e6)
        stopped(config(files, tmp_path), 6)
    found = train(config(files, tmp_path, resume="auto"))
    assert len(found.fit.warnings) == 1 and "step 5: the circuits' gradients have vanished" in found.fit.warnings[0]
    assert "warning: step 5" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "run.json").read_text())["training"]["warnings"]) == 1
