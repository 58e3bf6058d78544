"""A model whose circuits are measured elsewhere."""

import pytest
import torch
from peft import get_peft_model

from qweft import QwthnConfig
from qweft.devices import Measurer, make_device
from qweft.evaluation.on_device import circuit_layers, on_device
from tests.tiny_models import tiny_llama

IDS = torch.arange(14).reshape(2, 7)


def adapted(core="quantum_linear"):
    torch.manual_seed(0)
    config = QwthnConfig(
        core=core, r=3, width=4, bond_dimension=2, init_weights=False, target_modules=["q_proj", "v_proj"]
    )
    return get_peft_model(tiny_llama(), config).eval()


@torch.no_grad()
def logits(model, **inputs):
    return model(**({"input_ids": IDS} | inputs)).logits


class Counting:
    """Measures exactly, and notes what it was given."""

    def __init__(self):
        self.seen = []
        self.measure = Measurer(make_device("exact"))

    def __call__(self, circuit, inputs, angles):
        self.seen.append(inputs.reshape(-1, circuit.inputs))
        return self.measure(circuit, inputs, angles)


@pytest.mark.parametrize("core", ["quantum", "quantum_linear", "quantum_weighted", "frozen_linear", "product_weighted"])
def test_measured_exactly_the_model_is_the_same(core):
    model, measure = adapted(core), Counting()
    before = logits(model)
    with on_device(model, measure):
        measured = logits(model)
    assert len(measure.seen) == 4 and all(len(c) == 14 for c in measure.seen)
    torch.testing.assert_close(measured, before, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(model), before, rtol=0, atol=0)


def test_padding_is_never_measured():
    model, measure = adapted(), Counting()
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    before = logits(model, attention_mask=mask)
    with on_device(model, measure):
        measured = logits(model, attention_mask=mask)
    assert [len(c) for c in measure.seen] == [11] * 4
    torch.testing.assert_close(measured, before, rtol=0, atol=1e-5)


def test_only_chosen_tokens_are_measured_in_chosen_layers():
    model, seen = adapted(), []

    def measure(circuit, c, angles):
        seen.append(len(c))
        return torch.zeros_like(c)

    before = logits(model)
    with on_device(model, measure, ["layers.1.self_attn.v_proj"], lambda ids: ids >= 12):
        measured = logits(model)
    assert seen == [2]
    same = (measured - before).abs().amax(-1) < 1e-6
    assert same.tolist() == [[True] * 7, [True] * 5 + [False] * 2]


def test_generation_measures_each_new_token_once():
    model, measure = adapted(), Counting()
    with on_device(model, measure), torch.no_grad():
        model.generate(
            input_ids=IDS[:1, :3], attention_mask=torch.ones(1, 3), max_new_tokens=3, min_new_tokens=3, pad_token_id=0
        )
    assert sum(map(len, measure.seen)) == 4 * (3 + 2)


@pytest.mark.parametrize(
    ("patterns", "count"), [(None, 4), (["q_proj"], 2), (["*layers.0.*"], 2), (["*.v_proj", "q_proj"], 4)]
)
def test_layers_by_name(patterns, count):
    names = list(circuit_layers(adapted(), patterns))
    assert len(names) == count and names == sorted(names)
    assert names[0].startswith("model.layers.0.self_attn.")
