"""Fault 7: a resume that forgets optimizer, scheduler, random state or position in the data.

N + N steps equal 2 N bit for bit on a CPU, with transformers' Trainer.
"""

import pytest
import torch
from peft import get_peft_model
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.adapter.test_method import small
from tests.tiny_models import tiny_llama

STEPS = 3


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


def trainer(folder, seed, stop=2 * STEPS, **changes):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(0)
    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(3, 64, (20, 8), generator=generator)]
    # dropout draws random numbers, AdamW and the cosine have a state, and the order of the rows is shuffled
    model = get_peft_model(tiny_llama(), small("qtha", dropout=0.2, **changes))
    arguments = TrainingArguments(
        str(folder), max_steps=2 * STEPS, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        learning_rate=0.02, lr_scheduler_type="cosine", save_steps=STEPS, logging_steps=1, report_to=[],
        use_cpu=True, disable_tqdm=True, seed=5,
    )  # fmt: skip
    return Trainer(model, arguments, train_dataset=rows, callbacks=[StopAt(stop)])


def weights(run):
    return {name: p.detach().clone() for name, p in run.model.named_parameters() if p.requires_grad}


def losses(run):
    return [record["loss"] for record in run.state.log_history if "loss" in record]


@pytest.mark.parametrize("head", [None, ["lm_head"]])
def test_n_and_n_steps_equal_two_n(tmp_path, head):
    whole = trainer(tmp_path / "whole", seed=0, modules_to_save=head)
    whole.train()
    first = trainer(tmp_path / "parts", seed=0, stop=STEPS, modules_to_save=head)
    first.train()
    assert first.state.global_step == STEPS
    second = trainer(tmp_path / "parts", seed=99, modules_to_save=head)
    second.train(resume_from_checkpoint=str(tmp_path / "parts" / f"checkpoint-{STEPS}"))
    assert losses(second) == losses(whole)
    wanted, halfway = weights(whole), weights(first)
    for name, parameter in weights(second).items():
        assert torch.equal(parameter, wanted[name]), name
    assert any(not torch.equal(wanted[name], halfway[name]) for name in wanted)
