"""QWTHN in transformers' and TRL's trainers, for more than the step that tests/conformance makes on all families."""

import copy
import math

import pytest
import torch
from datasets import Dataset
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.functional import logsigmoid
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from tests.conformance.features.training import QUIET, fit
from tests.conformance.methods import CONTROL, make_config
from tests.conformance.tokenizer import words
from tests.tiny_models import tiny_llama

ROWS = torch.arange(96).view(8, 12) % 61 + 3
METHODS = [CONTROL, "qtha", "mpo"]


def adapted(method, **changes):
    torch.manual_seed(1)
    config = make_config(method, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **changes)
    return get_peft_model(tiny_llama(), config)


def rows():
    return [{"input_ids": row, "labels": row} for row in ROWS]


class OnStep(TrainerCallback):
    """Calls a function before each step."""

    def __init__(self, function):
        self.function = function

    def on_step_begin(self, args, state, control, **kwargs):
        self.function()


def log_probability(model, prompt, completion):
    """Log-probability of a completion after a prompt."""
    ids = torch.tensor([prompt + completion])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return scores.gather(-1, torch.tensor(completion)[:, None]).sum()


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_of_dpo_is_the_adapter_as_it_was(tmp_path, method):
    """TRL copies the adapter to a second one, through `parameter.data`, and switches between them at every step."""
    text = {"prompt": ["w3 w4"], "chosen": [" w7 w8"], "rejected": [" w9 w5"]}
    each_step = {"logging_strategy": "steps", "logging_steps": 1}
    model = adapted(method, init_weights=False)
    before = adapted(method, init_weights=False).eval()
    trainer = DPOTrainer(
        model,
        args=DPOConfig(str(tmp_path), max_length=12, beta=0.5, **{**QUIET, **each_step, "max_steps": 2}),
        train_dataset=Dataset.from_dict(text),
        processing_class=words(),
    )
    second = {}
    trainer.add_callback(OnStep(lambda: second.update(copy.deepcopy(get_peft_model_state_dict(model)))))
    fit(trainer)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    torch.testing.assert_close(losses[0], math.log(2), rtol=1e-4, atol=0)
    after = adapted(method).eval()
    set_peft_model_state_dict(after, second)
    end = words().eos_token_id
    gains = [
        log_probability(after, [3, 4], completion) - log_probability(before, [3, 4], completion)
        for completion in ([7, 8, end], [9, 5, end])
    ]
    torch.testing.assert_close(losses[1], -logsigmoid(0.5 * (gains[0] - gains[1])).item(), rtol=1e-4, atol=0)
    assert losses[1] < losses[0]
