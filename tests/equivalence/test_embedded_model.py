"""The main job on the embedded model and real text, in small: what every claim about learning rests on."""

import dataclasses

import pytest
import torch

from qweft.adapter.attach import attach, detach
from qweft.adapter.specification import adapter_config
from qweft.data.collate import Collator
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.evaluation.answers import generate_answers
from qweft.evaluation.loss import held_out_loss
from qweft.export.linearise import linearise
from qweft.export.measure import measure
from qweft.export.twin import twin
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit

pytestmark = pytest.mark.slow

DATA = DataConfig("embedded:chitchat", train_rows=64, validation_rows=8, test_rows=16, max_length=64, overlong="drop")
TRAINING = TrainingConfig(learning_rate=1e-2, max_steps=8, batch_size=4, gradient_accumulation=1)
SMALL = {"r": 4, "circuit_layers": 2, "width": 16, "bond_dimension": 4, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def bench():
    loaded = load_model(ModelConfig(source="package"))
    data = load_data(DATA, loaded.tokenizer)
    return loaded, data


@pytest.mark.parametrize("preset", ["qtha", "qwthn", "mpo"])
def test_training_lowers_the_held_out_loss(bench, preset):
    loaded, data = bench
    pad = loaded.tokenizer.pad_token_id
    tokens = torch.tensor([data.test[0]["input_ids"]])
    with torch.no_grad():
        before = loaded.model(tokens).logits
    base = held_out_loss(loaded.model, data.test, pad, 8)
    torch.manual_seed(0)
    model = attach(loaded.model, adapter_config({"preset": preset, **SMALL})).eval()
    try:
        with torch.no_grad():
            assert torch.equal(model(tokens).logits, before)
        fit(model, data.train, pad, dataclasses.replace(TRAINING, seed=1))
        assert held_out_loss(model, data.test, pad, 8).loss < base.loss - 0.1
    finally:
        detach(model)
    with torch.no_grad():
        assert torch.equal(loaded.model(tokens).logits, before)


def test_answers_do_not_depend_on_how_many_are_generated_at_a_time(bench):
    loaded, data = bench
    asked = data.test_conversations[:8]
    one_by_one = generate_answers(loaded.model, loaded.tokenizer, asked, 24)
    assert generate_answers(loaded.model, loaded.tokenizer, asked, 24, 8) == one_by_one
    assert generate_answers(loaded.model, loaded.tokenizer, asked, 24, 3) == one_by_one


@pytest.mark.parametrize("preset", ["qtha", "qwthn"])
def test_the_export_of_a_trained_adapter_keeps_its_gain(bench, preset):
    loaded, data = bench
    pad = loaded.tokenizer.pad_token_id
    torch.manual_seed(0)
    model = attach(loaded.model, adapter_config({"preset": preset, **SMALL})).eval()
    try:
        fit(model, data.train, pad, dataclasses.replace(TRAINING, seed=1))
        batches = [Collator(pad)(data.train[start : start + 8]) for start in range(0, 64, 8)]
        inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
        lora, _ = linearise(model, inputs)
        with twin(model, lora, "default") as exported:
            found = measure(model, "default", exported, data.test, pad, 8)
        assert found.gain > 0.1
        assert found.kept_share > 0.9
        assert found.equal_greedy_share > 0.9
        assert found.largest_logit_change > 0  # a circuit is fitted, not copied
    finally:
        detach(model)
