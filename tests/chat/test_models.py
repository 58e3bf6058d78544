"""Who answers: each exactly as it would alone, over one copy of the weights."""

import json

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue
from qweft.chat.models import open_chat_models
from qweft.data.conversation import Conversation, Message
from qweft.errors import QweftError
from qweft.evaluation.generation import generate_answers
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.chat.conftest import TARGETS, save_adapter
from tests.tiny_folder import save_tiny_model

IDS = torch.tensor([[5, 9, 30, 31, 7]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def given(voices, question, dialogue=None, **options):
    asked = voices.ask(dialogue or Dialogue(), question, ChatConfig(**options))
    return [("".join(each), each.answer) for each in asked]


def test_the_base_model_beside_it_is_the_bare_one(both, model, hybrid):
    adapted, base = map(logits, both.models.values())
    assert both.names == ["qtha-0", "base"]
    assert torch.equal(base, logits(load_model(ModelConfig(model)).model))
    assert torch.equal(adapted, logits(put_on(load_model(ModelConfig(model)), hybrid)))
    assert not torch.allclose(adapted, base, atol=1e-3)


def test_the_weights_are_in_memory_once(both):
    first, second = (
        {name.replace("base_model.model.", "").replace(".base_layer", ""): weight.data_ptr() for name, weight in found}
        for found in (each.named_parameters() for each in both.models.values())
    )
    assert second and second == {name: place for name, place in first.items() if name in second}


def test_adapters_of_two_methods_beside_each_other(model, hybrid, lora):
    voices = open_chat_models(hybrid, ChatConfig(beside=str(lora)), {})
    assert voices.names == ["qtha-0", "lora-0"]
    for adapted, folder in zip(voices.models.values(), (hybrid, lora), strict=True):
        assert torch.equal(logits(adapted), logits(put_on(load_model(ModelConfig(model)), folder)))


def test_answers_are_those_of_evaluate(both):
    told = given(both, "How many?", max_new_tokens=12)
    row = Conversation((Message("user", "How many?"), Message("assistant", "")), "g")
    for each, (text, answer) in zip(both.models.values(), told, strict=True):
        (reference,) = generate_answers(each, both.tokenizer, [row], 12)
        assert answer.text == reference.generated == text.strip()
        assert len(answer.tokens) == 12 and answer.end == "max_new_tokens" and answer.tokens_per_second > 0


def test_draws_differ_from_question_to_question_and_repeat_with_the_seed(both):
    options = {"max_new_tokens": 12, "temperature": 1.5}
    once, again, other = (given(both, "How?", max_new_tokens=12, temperature=1.5, seed=seed) for seed in (1, 1, 2))
    assert [answer.tokens for _, answer in once] == [answer.tokens for _, answer in again]
    assert [answer.tokens for _, answer in once] != [answer.tokens for _, answer in other]
    later = given(both, "How?", Dialogue(asked=1), seed=1, **options)
    assert [answer.tokens for _, answer in once] != [answer.tokens for _, answer in later]


def test_what_a_voice_did_not_answer_is_in_no_row(tmp_path):
    """Training takes no empty answer, as a stop leaves one to the second voice."""
    dialogue = Dialogue().and_then("How?", ["So.", ""]).and_then("And?", ["Thus.", "Here."])
    first, second = map(json.loads, dialogue.as_rows(["one", "two"]).splitlines())
    assert [message["content"] for message in first["messages"]] == ["How?", "So.", "And?", "Thus."]
    assert [message["content"] for message in second["messages"]] == ["And?", "Here."]
    assert len(Dialogue().and_then("How?", ["So.", ""]).as_rows(["one", "two"]).splitlines()) == 1


def test_stopped_after_the_token_that_is_computed(both):
    asked = both.ask(Dialogue(), "How many?", ChatConfig(max_new_tokens=30))[0]
    for _ in asked:
        asked.stop()
    assert asked.answer.end == "stopped" and 0 < len(asked.answer.tokens) < 30


def test_the_oldest_turns_are_left_out_and_the_system_message_is_not(both):
    dialogue = Dialogue("be")
    for number in range(4):
        dialogue = dialogue.and_then(f"{number} apples?", ["There are 12", "hi"])
    prompt, left_out = both._prompt(dialogue, 0, "How?", wanted=8)
    assert both.context == 64 and len(prompt) <= 56 and left_out > 0
    text = both.tokenizer.decode(prompt)
    assert text.startswith("<|im_start|>system\nbe<|im_end|>") and f"{left_out} apples?" in text
    assert f"{left_out - 1} apples?" not in text
    (_, answer), _ = given(both, "How?", dialogue, max_new_tokens=8)
    assert answer.left_out == left_out
    # a wish for a long answer leaves out no more than half of what the model takes
    assert len(both._prompt(dialogue, 0, "How?", wanted=1000)[0]) > 16


def test_what_the_model_takes_is_never_passed(both):
    (_, answer), _ = given(both, "How many apples are there?" * 2, max_new_tokens=500)
    assert answer.end == "context" or answer.end == "end token"
    assert len(answer.prompt) + len(answer.tokens) <= 64
    with pytest.raises(QweftError, match=r"the question is \d+ tokens long .* the model takes 64; ask a shorter one"):
        given(both, "x y z " * 40)


def test_an_adapter_of_another_base_model_is_refused(hybrid, tmp_path):
    other = save_adapter(save_tiny_model(tmp_path / "other"), tmp_path / "b", LoraConfig(target_modules=TARGETS))
    with pytest.raises(QweftError, match=r"must be of one base model, which --model.name names"):
        open_chat_models(hybrid, ChatConfig(beside=str(other)), {})
    voices = open_chat_models(hybrid, ChatConfig(beside=str(other)), {"model": {"name": str(tmp_path / "other")}})
    assert voices.names == ["qtha-0", "b"]


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_changes_the_weights_of_the_base_stands_alone(model, hybrid, tmp_path, start):
    folder = save_adapter(model, tmp_path / start, LoraConfig(target_modules=TARGETS, init_lora_weights=start))
    with pytest.raises(QweftError, match=r"changes the base model's own weights .* leave --beside out"):
        open_chat_models(hybrid, ChatConfig(beside=str(folder)), {})
    assert open_chat_models(folder, ChatConfig(), {}).names == [start]


def test_a_head_that_its_file_has_unchanged_is_no_change_of_the_base(model, hybrid, tmp_path):
    """PEFT saves the weight of a wrapped head or embedding beside its LoRA, as it was."""
    folder = save_adapter(model, tmp_path / "head", LoraConfig(target_modules=["lm_head", "q_proj"]))
    assert any("base_layer" in key for key in load_file(folder / "adapter_model.safetensors"))
    assert open_chat_models(hybrid, ChatConfig(beside=str(folder)), {}).names == ["qtha-0", "head"]
    weights = load_file(folder / "adapter_model.safetensors")
    changed = {key: tensor * 1.01 if "base_layer" in key else tensor for key, tensor in weights.items()}
    save_file(changed, folder / "adapter_model.safetensors")
    with pytest.raises(QweftError, match="changes the base model's own weights"):
        open_chat_models(hybrid, ChatConfig(beside=str(folder)), {})


def test_an_activated_lora_is_refused(model, tmp_path):
    config = LoraConfig(target_modules=TARGETS, task_type="CAUSAL_LM", alora_invocation_tokens=[1])
    with pytest.raises(QweftError, match="activated LoRA"):
        open_chat_models(save_adapter(model, tmp_path / "a", config), ChatConfig(), {})
