"""Packed rows: the same loss and gradients as one by one, and none sees another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model

from qweft import QwthnConfig
from qweft.core.errors import QweftError
from qweft.data.batches import Collator, PackingCollator, pack
from qweft.training.loop import check_apart
from tests.rounding import assert_close
from tests.tiny_models import tiny_llama
from tests.training.test_loop import rows


def row(length):
    return {"input_ids": list(range(3, 3 + length)), "labels": [-100, *range(4, 3 + length)]}


@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=60), room=st.integers(20, 64))
def test_packs_hold_every_row_once_and_are_nearly_as_few_as_can_be(lengths, room):
    made = [row(length) for length in lengths]
    packs = pack(made, room)
    assert sorted(len(each["input_ids"]) for one in packs for each in one) == sorted(lengths)
    assert all(len(one) == 1 or sum(len(each["input_ids"]) for each in one) <= room for one in packs)
    fewest = -(-sum(lengths) // room)
    longer = sum(length > room for length in lengths)
    assert len(packs) <= 1.7 * fewest + longer + 1
    assert pack(made, room) == packs


def adapted(model=None):
    torch.manual_seed(0)
    return get_peft_model(model or tiny_llama(), QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2))


def gradients(model, batch):
    model.zero_grad()
    logits = model(**{name: batch[name] for name in batch if name != "labels"}, use_cache=False).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum")
    loss.backward()
    return loss.item(), {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_loss_and_gradients_are_those_of_the_rows_one_by_one(attention):
    model = adapted().double()
    model.base_model.model.set_attn_implementation(attention)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    some = rows(9)
    packed = gradients(model, PackingCollator(0)([some[:4], some[4:]]))
    alone = gradients(model, Collator(0)(some))
    assert packed[0] == pytest.approx(alone[0], rel=1e-6)
    for name, gradient in alone[1].items():
        assert_close(packed[1][name].float(), gradient.float(), 50)  # attention's softmax and norms are in float32


def test_models_that_mix_packed_rows_are_refused():
    class Mixing(torch.nn.Module):
        """A token's logits are the running mean of all tokens before it."""

        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(64, 8)
            self.config = type("Config", (), {"model_type": "mixing"})

        def forward(self, input_ids, position_ids=None, use_cache=False):
            return type("Output", (), {"logits": self.embedding(input_ids).cumsum(1)})

    with pytest.raises(QweftError, match=r"training.packing: a model of type mixing does not keep packed rows apart"):
        check_apart(Mixing(), [[row(4), row(5)]], 0)
    check_apart(Mixing(), [[row(4)]], 0)  # nothing is packed
