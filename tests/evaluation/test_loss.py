"""held_out_loss against a plain computation, the model's own loss, and by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qweft.core.errors import QweftError
from qweft.data.batches import Collator
from qweft.evaluation.loss import held_out_loss, logits_of_targets, target_loss
from qweft.evaluation.scores import ratio
from tests.tiny_models import tiny_gpt2, tiny_llama

WORDS = 97
PAD = 0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,  # far from uniform, so that a wrong position is seen
        attention_dropout=0.5,
    )
    return LlamaForCausalLM(config).train()


@pytest.fixture(scope="module")
def rows():
    draw = torch.Generator().manual_seed(1)
    made = []
    for length, masked in ((9, 4), (23, 0), (5, 1), (14, 13), (2, 1), (17, 8), (11, 11)):
        ids = torch.randint(1, WORDS, (length,), generator=draw).tolist()
        made.append({"input_ids": ids, "labels": [-100] * masked + ids[masked:]})
    return made


def plain(model, rows):
    """(sum of -log p, targets) of each row: one row at a time, one token at a time, no padding."""
    model.eval()
    found = []
    with torch.no_grad():
        for row in rows:
            log_p = model(torch.tensor([row["input_ids"]])).logits[0].double().log_softmax(-1)
            losses = [-log_p[t - 1, y].item() for t, y in enumerate(row["labels"]) if t > 0 and y != -100]
            found.append((math.fsum(losses), len(losses)))
    model.train()
    return found


def test_equals_a_plain_computation_token_by_token(model, rows):
    found = plain(model, rows)
    tokens = sum(n for _, n in found)
    held_out = held_out_loss(model, rows, PAD, 3)
    assert held_out.tokens == tokens
    assert held_out.loss == pytest.approx(sum(s for s, _ in found) / tokens, rel=1e-6)
    assert held_out.perplexity == pytest.approx(math.exp(held_out.loss))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_does_not_depend_on_batch_size_order_or_padding(model, rows, batch_size):
    wanted = held_out_loss(model, rows, PAD, 4)
    held_out = held_out_loss(model, rows[::-1], PAD + 5, batch_size)
    assert held_out.loss == pytest.approx(wanted.loss, rel=1e-6)
    assert held_out.standard_error == pytest.approx(wanted.standard_error, rel=1e-5)


def test_modes_and_gradients_are_left_as_they_were(model, rows):
    model.train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    assert True in before and False in before
    held_out_loss(model, rows, PAD, 2)
    assert [module.training for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()
    model.train()


@pytest.mark.parametrize("batch", [slice(0, 1), slice(0, 5)])
def test_logits_of_targets_alone_give_the_loss_and_gradients_of_all_logits(model, rows, batch):
    model.eval()  # dropout would draw anew
    padded = Collator(PAD)(rows[batch])
    labels = padded.pop("labels")

    def loss_and_gradients():
        model.zero_grad()
        outputs = model(**padded)
        loss = target_loss(outputs, labels)
        loss.backward()
        return outputs.logits.shape[:2], loss.item(), [p.grad.clone() for p in model.parameters()]

    shape, loss, gradients = loss_and_gradients()
    with logits_of_targets(model, labels):
        narrow, found, others = loss_and_gradients()
    model.zero_grad(set_to_none=True)
    assert shape == labels.shape and narrow == (1, (labels[:, 1:] != -100).sum())
    assert found == pytest.approx(loss, rel=1e-6)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert model(**padded).logits.shape[:2] == labels.shape  # after the block all positions have logits again
    model.train()


class Fixed(torch.nn.Module):
    """A model that gives the target's probability by its id: token k has p = 1 / k at every position."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask, use_cache):
        p = torch.tensor([1 - 1 / 2 - 1 / 4 - 1 / 8, 1e-9, 1 / 2, 1e-9, 1 / 4, 1e-9, 1e-9, 1e-9, 1 / 8])
        return SimpleNamespace(logits=p.log().expand(*input_ids.shape, -1).to(torch.bfloat16))


def test_standard_error_by_hand():
    """Rows with S = (2 ln 2, 6 ln 2) and n = (2, 2): loss 2 ln 2, residuals -+2 ln 2."""
    rows = [
        {"input_ids": [1, 2, 2], "labels": [-100, 2, 2]},
        {"input_ids": [1, 8, 8], "labels": [-100, 8, 8]},
        {"input_ids": [1, 8, 8], "labels": [8, -100, -100]},  # no target: not a row of the sample
    ]
    held_out = held_out_loss(Fixed(), rows, PAD, 2)
    ln2 = math.log(2)
    assert held_out.loss == pytest.approx(2 * ln2, rel=1e-2)
    assert held_out.standard_error == pytest.approx(math.sqrt(2 / 1 * (4 + 4)) * ln2 / 4, rel=1e-2)


def test_a_row_that_holds_most_tokens_does_not_hide_how_far_it_is_from_the_others():
    """The error is that of the jackknife: what the mean becomes without each row."""
    tokens = [900, *[10] * 10]
    means = np.array([5.0, *np.linspace(2.5, 3.5, 10)])
    rows = [(float(mean * count), count) for mean, count in zip(means, tokens, strict=True)]
    found, error = ratio(rows)
    left = [ratio([*rows[:place], *rows[place + 1 :]])[0] for place in range(11)]
    assert error == pytest.approx(math.sqrt(10 / 11 * sum((each - found) ** 2 for each in left)))
    assert error > 0.8 * abs(means[0] - means[1:].mean())
    assert ratio([(1.0, 5.0), (2.0, 3.0), (1.0, -3.0)])[1] is None  # one row's gain is that of all


def test_no_target_tokens_is_an_error(model):
    rows = [{"input_ids": [5, 6], "labels": [-100, -100]}, {"input_ids": [7], "labels": [7]}]
    with pytest.raises(QweftError, match="none of the 2 evaluation rows"):
        held_out_loss(model, rows, PAD, 1)
    with pytest.raises(QweftError):
        held_out_loss(model, [], PAD, 1)


def test_rows_longer_than_a_table_of_positions_are_refused():
    rows = [{"input_ids": [5] * 65, "labels": [5] * 65}]
    with pytest.raises(QweftError, match=r"65 tokens, and the model has positions for 64; set data.max_length to 64"):
        held_out_loss(tiny_gpt2(), rows, 0, 1)
    rotary = tiny_llama()
    rotary.config.max_position_embeddings = 64
    with pytest.warns(UserWarning, match="a row has 65 tokens, and the model's config names 64 positions"):
        held_out_loss(rotary, rows, 0, 1)
