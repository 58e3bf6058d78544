"""The training loop: same order for all, schedule, accumulation, divergence."""

import dataclasses

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.tiny_models import tiny_llama

from qweft import QwthnConfig, environment
from qweft.training import loop
from qweft.training.config import TrainingConfig
from qweft.training.loop import DivergedError, arguments, fit, steps_of

TRAINING = TrainingConfig(learning_rate=1e-2, max_steps=6, batch_size=2, gradient_accumulation=1, seed=3)


def rows(count=20):
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(count):
        ids = torch.randint(3, 64, (5 + number % 4,), generator=generator).tolist()
        made.append({"input_ids": ids, "labels": [-100, -100, *ids[2:]]})
    return made


def adapted(config=None):
    torch.manual_seed(0)
    return get_peft_model(tiny_llama(), config or QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2))


def test_trains_and_reports():
    found = fit(adapted(), rows(), 0, TRAINING)
    assert found.steps == 6
    assert [step for step, _ in found.curve] == [1, 2, 3, 4, 5, 6]
    assert found.train_loss == pytest.approx(sum(loss for _, loss in found.curve) / 6, rel=1e-4)
    assert found.step_seconds_median > 0
    assert found.peak_memory_bytes > 2**20


def test_the_load_beside_the_steps_is_measured(monkeypatch):
    readings = iter([(100.0, 40.0, 5.0), (120.0, 52.0, 14.0)])
    monkeypatch.setattr(environment, "cpu_seconds", lambda with_children: next(readings))
    found = fit(adapted(), rows(), 0, TRAINING)
    assert found.cpu_by_others == 0.15 and found.load_average >= 0
    assert 0 <= found.step_seconds_spread < 10


def test_the_first_loss_is_that_of_the_base_model_on_the_first_batch():
    """So the loss is over the answers alone, and the start is exact."""
    seen = []
    model = adapted()
    forward = model.base_model.model.forward

    def watched(*args, **kwargs):
        seen.append({key: kwargs[key].clone() for key in ("input_ids", "labels", "attention_mask")})
        return forward(*args, **kwargs)

    model.base_model.model.forward = watched
    found = fit(model, rows(), 0, TRAINING)
    first = seen[0]
    logits = tiny_llama()(input_ids=first["input_ids"], attention_mask=first["attention_mask"]).logits[:, :-1]
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), first["labels"][:, 1:].flatten())
    assert found.curve[0][1] == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_method_sees_the_same_rows_in_the_same_order(monkeypatch, seed):
    orders = []

    class Watched(loop.Collator):
        def __call__(self, batch):
            orders[-1].append([row["input_ids"] for row in batch])
            return super().__call__(batch)

    monkeypatch.setattr(loop, "Collator", Watched)
    for config in (None, LoraConfig(r=3, target_modules=["q_proj"])):
        orders.append([])
        fit(adapted(config), rows(), 0, dataclasses.replace(TRAINING, seed=seed))
    assert orders[0][:6] == orders[1][:6]
    assert orders[0][0] != [row["input_ids"] for row in rows()[:2]]


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def weights(seed):
        model = adapted()
        fit(model, rows(), 0, dataclasses.replace(TRAINING, seed=seed))
        return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.mark.parametrize(("batch", "accumulation"), [(1, 4), (2, 2)])
def test_accumulation_equals_a_larger_batch(batch, accumulation):
    losses = []
    for size, added in ((4, 1), (batch, accumulation)):
        training = dataclasses.replace(TRAINING, batch_size=size, gradient_accumulation=added, max_steps=4)
        losses.append([loss for _, loss in fit(adapted(), rows(16), 0, training).curve])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_checkpointing_changes_nothing():
    curves = [
        fit(adapted(), rows(), 0, dataclasses.replace(TRAINING, gradient_checkpointing=value)).curve
        for value in (False, True)
    ]
    assert [loss for _, loss in curves[0]] == pytest.approx([loss for _, loss in curves[1]], rel=1e-5)


def test_steps_and_warm_up():
    by_epochs = TrainingConfig(epochs=3, batch_size=4, gradient_accumulation=8)
    assert steps_of(by_epochs, 3000) == 3 * 94
    assert steps_of(by_epochs, 5) == 3
    assert arguments(by_epochs, 3000, "unused").warmup_steps == 29
    assert arguments(by_epochs, 3000, "unused").lr_scheduler_type == "cosine"
    assert arguments(by_epochs, 3000, "unused").report_to == []


def test_a_single_step_trains():
    model = adapted()
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, rows(), 0, dataclasses.replace(TRAINING, max_steps=1))
    assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_a_loss_that_is_not_a_number_is_said():
    model = adapted()
    with torch.no_grad():
        model.base_model.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"not a number from step 1 on; lower training.learning_rate \(now 0.01\)"):
        fit(model, rows(), 0, TRAINING)


def test_processes_share_the_steps(monkeypatch):
    """As accelerate gives each every second batch, two of them need half as many steps for the same passes."""
    by_epochs = TrainingConfig(epochs=3, batch_size=4, gradient_accumulation=8)
    assert steps_of(by_epochs, 3000, 2) == 3 * 47
    assert steps_of(by_epochs, 36, 2) == 3 and steps_of(by_epochs, 68, 2) == 3 * 2
    monkeypatch.setattr(loop, "processes", lambda: 2)
    assert arguments(by_epochs, 3000, "unused").max_steps == 3 * 47
    assert arguments(dataclasses.replace(by_epochs, max_steps=7), 3000, "unused").max_steps == 7
