"""Adapters that need the whole text at each call: virtual tokens before it, and LoRA that acts from some tokens on."""

import pytest
import torch
from peft import (
    CPTConfig,
    LilyConfig,
    LoraConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from torch.nn.functional import cross_entropy

from qweft.core.errors import QweftError
from qweft.data.tokens import IGNORED
from qweft.evaluation.generation import greedy_together
from qweft.evaluation.loss import held_out_loss
from tests.tiny_models import tiny_llama

CAUSAL = {"task_type": "CAUSAL_LM"}
TARGETS = ["q_proj", "v_proj", "down_proj"]
CONFIGS = {
    "prompt": PromptTuningConfig(num_virtual_tokens=4, **CAUSAL),
    "encoder": PromptEncoderConfig(num_virtual_tokens=4, encoder_hidden_size=8, **CAUSAL),
    "cpt": CPTConfig(cpt_token_ids=[1, 2], cpt_mask=[1, 1], cpt_tokens_type_mask=[1, 2], **CAUSAL),
    "prefix": PrefixTuningConfig(num_virtual_tokens=4, **CAUSAL),
    "activated": LoraConfig(
        target_modules=TARGETS, r=8, lora_alpha=64, init_lora_weights=False, alora_invocation_tokens=[5, 6], **CAUSAL
    ),
    "lora": LoraConfig(target_modules=TARGETS, init_lora_weights=False, **CAUSAL),
}
PROMPT = [3, 4, 5, 6, 7, 8]
ROWS = [{"input_ids": [*PROMPT, 9, 10][: 8 - k], "labels": [IGNORED] * 4 + [7, 8, 9, 10][: 4 - k]} for k in range(2)]


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    made = get_peft_model(tiny_llama(), CONFIGS[request.param])
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    return made.eval()


@torch.no_grad()
def test_the_loss_is_read_at_the_texts_own_positions(model):
    total = targets = 0
    for row in ROWS:
        ids = torch.tensor([row["input_ids"]])
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -len(row["input_ids"]) : -1]
        labels = torch.tensor(row["labels"][1:])
        total += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        targets += int((labels != IGNORED).sum())
    assert held_out_loss(model, ROWS, 0, 2).loss == pytest.approx(total / targets, rel=1e-5)


def test_no_loss_is_told_of_an_adapter_that_reads_the_tokens_to_be_predicted():
    torch.manual_seed(0)
    model = get_peft_model(tiny_llama(), LilyConfig(target_modules=TARGETS, r=4, **CAUSAL)).eval()
    for parameter in model.parameters():
        parameter.data += parameter.requires_grad * torch.randn_like(parameter)
    first, other = (model(torch.tensor([[*PROMPT, last]])).logits[0, 0] for last in (9, 10))
    assert not torch.allclose(first, other, atol=1e-3)
    with pytest.raises(QweftError, match="LILY weighs its parts by the mean over all tokens of a batch"):
        held_out_loss(model, ROWS, 0, 2)


@torch.no_grad()
def test_an_answer_is_the_one_that_peft_gives(model):
    ids = torch.tensor([PROMPT])
    wanted = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, eos_token_id=None
    )
    for batch in (1, 2):
        found, _ = greedy_together(model, [PROMPT, PROMPT[:4]], set(), 8, batch)
        assert found.ids == wanted[0, len(PROMPT) :].tolist()
