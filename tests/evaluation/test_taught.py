"""A teacher's logits: as the model gives them beside other rows, and asked for once."""

import pytest
import torch
from tests.tiny_models import tiny_llama

from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED
from qweft.evaluation import loss
from qweft.evaluation.loss import Taught, held_out_loss, soft_losses, targets_of


@pytest.fixture
def model():
    """A frozen tiny model, and the lengths of what it was asked."""
    made = tiny_llama().eval().requires_grad_(False)
    made.asked = []
    made.register_forward_pre_hook(
        lambda module, args, kwargs: module.asked.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return made


def row(*ids, learned):
    return {"input_ids": list(ids), "labels": [IGNORED] * (len(ids) - learned) + list(ids[-learned:])}


ROWS = [row(3, 4, 5, 6, 7, learned=2), row(8, 9, 1, learned=1), row(2, 2, 4, 4, 6, 6, 8, learned=5)]


def test_targets_are_those_of_a_padded_batch_row_by_row(model):
    batch = Collator(0)(ROWS)
    got = Taught(model)(batch)
    whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(got, whole[:, :-1][targets_of(batch["labels"])])
    assert [len(part) for part in got.split(targets_of(batch["labels"]).sum(1).tolist())] == [2, 1, 5]


def test_a_row_is_computed_once_alone_and_whatever_stands_beside_it(model):
    ask = Taught(model)
    first = ask(Collator(0)(ROWS))
    assert model.asked == [(1, 5), (1, 3), (1, 7)]
    again = ask(Collator(0)([ROWS[2], ROWS[0]]))
    assert torch.equal(again, torch.cat([first[3:], first[:2]])) and len(model.asked) == 3
    ask(Collator(0)([row(3, 4, 5, 6, 7, learned=3)]))  # the same tokens, other targets
    assert len(model.asked) == 4


def test_rows_beyond_the_bound_are_computed_anew(model, monkeypatch):
    ask = Taught(model)
    batch = Collator(0)(ROWS)
    kept = ask(batch)
    monkeypatch.setattr(loss, "KEPT", kept[:2].nbytes)
    few = Taught(model)
    model.asked.clear()
    assert torch.equal(few(batch), kept) and torch.equal(few(batch), kept)
    assert model.asked == [(1, 5), (1, 3), (1, 7), (1, 3), (1, 7)]


def test_a_loss_against_a_teacher_is_that_of_whole_batches(model, monkeypatch):
    student = tiny_llama(seed=5).eval()
    got = held_out_loss(student, ROWS, 0, 2, Taught(model))
    by_hand = []
    for each in ROWS:
        ids = torch.tensor([each["input_ids"]])
        learned = targets_of(torch.tensor([each["labels"]]))
        own, teacher = (which(input_ids=ids).logits[:, :-1][learned] for which in (student, model))
        by_hand.append(soft_losses(own, teacher))
    assert got.loss == pytest.approx(torch.cat(by_hand).double().mean().item(), rel=1e-6)
    monkeypatch.setattr(loss, "POSITIONS_AT_A_TIME", 2)
    with_few_at_a_time = held_out_loss(student, ROWS, 0, 3, Taught(model))
    assert with_few_at_a_time.loss == pytest.approx(got.loss, rel=1e-6)
