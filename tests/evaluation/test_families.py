"""Answers of model families that read a text in their own ways: states, positions that begin anew, no cache at all."""

import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from qweft import QwthnConfig
from qweft.evaluation.generation import feels_padding, greedy, greedy_together
from qweft.evaluation.loss import context_of, held_out_loss

COMMON = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64, "pad_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "llama": {},
    "bamba": {
        "attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1,
        "mamba_chunk_size": 8,
    },
    "mamba": {"state_size": 4, "expand": 2, "time_step_rank": 4},
    "rwkv": {"attention_hidden_size": 32, "context_length": 64},
    "recurrent_gemma": {
        "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 16,
        "block_types": ("recurrent", "recurrent", "attention"),
    },
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "minimax": {
        "layer_types": ["linear_attention", "full_attention"], "num_local_experts": 2, "num_experts_per_tok": 1,
        "block_size": 8,
    },
}  # fmt: skip
PROMPTS = [[5, 9, 17, 33, 8, 40], [7, 3, 22], [11, 50, 4, 6, 60]]
NEW = 7


def tiny(family):
    torch.manual_seed(0)
    own = {key: value for key, value in COMMON.items() if family != "openai-gpt" or key == "vocab_size"}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**own, **FAMILIES[family]})).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.15)
    return model


@torch.no_grad()
def recomputed(model, prompt):
    """The greedy continuation, each token from the whole text."""
    ids = list(prompt)
    for _ in range(NEW):
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_that_of_the_whole_text(family):
    model = tiny(family)
    expected = [recomputed(model, prompt) for prompt in PROMPTS]
    with torch.no_grad():
        assert [greedy(model, prompt, set(), NEW).ids for prompt in PROMPTS] == expected
        assert [found.ids for found in greedy_together(model, PROMPTS, set(), NEW, 3)] == expected


HYBRIDS = {
    "bamba": FAMILIES["bamba"],
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 8, "linear_value_head_dim": 8, "num_experts": 2, "num_experts_per_tok": 1,
        "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    },
}  # fmt: skip


@pytest.mark.parametrize("family", HYBRIDS)
def test_a_circuit_feels_padding_where_a_layer_has_a_state(family):
    """Such a layer sets padding to zero before its projections, where a circuit's branch is not zero."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**COMMON, **HYBRIDS[family]})
    base = AutoModelForCausalLM.from_config(config).eval()
    model = get_peft_model(base, QwthnConfig.preset("qtha", r=2, target_modules="all-linear", init_weights=False))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.2 * torch.randn_like(weight))
        model.eval()
        assert feels_padding(model, PROMPTS) and not feels_padding(model.get_base_model(), PROMPTS[:1])
        with model.disable_adapter():
            assert not feels_padding(model, PROMPTS)
        together = greedy_together(model, PROMPTS, set(), NEW, 3)
        assert together == [greedy(model, prompt, set(), NEW) for prompt in PROMPTS]


def test_virtual_tokens_take_places_of_the_context():
    plain = tiny("llama")
    assert context_of(plain) == 64
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = get_peft_model(plain, prompt).eval()
    assert context_of(model) == 60
    rows = [{"input_ids": list(range(3, 3 + size)), "labels": list(range(3, 3 + size))} for size in (7, 3)]
    one, two = (held_out_loss(model, rows, 0, batch) for batch in (1, 2))
    assert one.loss == pytest.approx(two.loss, rel=1e-5)
