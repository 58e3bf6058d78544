"""Who answers: each exactly as it would alone, over one copy of the weights."""

import json

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig
from safetensors.torch import load_file, save_file

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation, Message
from qweft.data.read.rows import located_rows
from qweft.evaluation.generation import generate_answers, prompt_of
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.serve.chat import Answer, Pieces
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.serve.conftest import TARGETS, save_adapter, talk
from tests.tiny_folder import save_tiny_model

IDS = torch.tensor([[5, 9, 30, 31, 7]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def answers(chat, question):
    shown = {name: [] for name in chat.names}
    given = [chat.answer(name, question, shown[name].append) for name in chat.names]
    assert ["".join(pieces).strip() for pieces in shown.values()] == [answer.text for answer in given]
    return given


def said(*answers):
    return [Answer(text) for text in answers]


def test_the_base_model_beside_it_is_the_bare_one(model, hybrid):
    (adapted, _), (base, _) = talk(hybrid, beside="base").voices.models.values()
    assert torch.equal(logits(base), logits(load_model(ModelConfig(model)).model))
    assert torch.equal(logits(adapted), logits(put_on(load_model(ModelConfig(model)), hybrid)))
    assert not torch.allclose(logits(adapted), logits(base), atol=1e-3)
    first, second = (
        {name.replace("base_model.model.", "").replace(".base_layer", ""): weight.data_ptr() for name, weight in found}
        for found in (each.named_parameters() for each in (adapted, base))
    )
    assert second and second == {name: place for name, place in first.items() if name in second}


def test_adapters_of_two_methods_beside_each_other(model, hybrid, lora):
    chat = talk(hybrid, beside=str(lora))
    assert chat.names == ["qtha-0", "lora-0"]
    for (adapted, _), folder in zip(chat.voices.models.values(), (hybrid, lora), strict=True):
        assert torch.equal(logits(adapted), logits(put_on(load_model(ModelConfig(model)), folder)))


METHODS = {
    "prompt": PromptTuningConfig(num_virtual_tokens=8, task_type="CAUSAL_LM"),
    "activated": LoraConfig(target_modules=TARGETS, task_type="CAUSAL_LM", alora_invocation_tokens=[1]),
}


@pytest.mark.parametrize("name", ["qtha-0", *METHODS])
def test_answers_are_those_of_evaluate(model, hybrid, tmp_path, name):
    folder = hybrid if name == "qtha-0" else save_adapter(model, tmp_path / name, METHODS[name])
    chat = talk(folder, beside="base", max_new_tokens=12)
    row = Conversation((Message("user", "How many?"), Message("assistant", "")), "g")
    bare = load_model(ModelConfig(model))
    alone = put_on(bare, folder), load_model(ModelConfig(model)).model
    for each, answer in zip(alone, answers(chat, "How many?"), strict=True):
        (reference,) = generate_answers(each, bare.tokenizer, [prompt_of(row, bare.tokenizer)], 12)
        assert answer.text == reference.generated
        assert answer.tokens == 12 and answer.end == "max_new_tokens" and answer.tokens_per_second > 0


def test_draws_differ_from_question_to_question_and_repeat_with_the_seed(hybrid):
    def texts(seed, asked=0):
        chat.config = type(chat.config)(max_new_tokens=12, temperature=1.5, seed=seed)
        chat.asked = asked
        return [answer.text for answer in answers(chat, "How?")]

    chat = talk(hybrid, beside="base")
    assert texts(1) == texts(1) != texts(2)
    assert texts(1) != texts(1, asked=1)


def test_without_probabilities_nothing_is_answered(hybrid):
    chat = talk(hybrid)
    chat.voices.models["qtha-0"][0].get_base_model().lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(QweftError, match="no probabilities"):
        answers(chat, "How?")


def test_the_oldest_turns_are_left_out_and_the_system_message_is_not(hybrid):
    chat = talk(hybrid, max_new_tokens=8, system="be", beside="base")
    for number in range(4):
        chat.take(f"{number} apples?", said("There are 12", "hi"))
    prompt, left_out = chat.prompt("qtha-0", "How?")
    length = prompt.input_ids.shape[1]
    assert chat.voices.context == 64 and length <= 56 and left_out > 0
    text = chat.voices.models["qtha-0"][1].decode(prompt.input_ids[0])
    assert text.startswith("<|im_start|>system\nbe<|im_end|>") and f"{left_out} apples?" in text
    assert f"{left_out - 1} apples?" not in text
    assert answers(chat, "How?")[0].left_out == left_out


def test_what_the_model_takes_is_never_passed(hybrid):
    chat = talk(hybrid, max_new_tokens=500)
    question = "How many apples are there?" * 2
    (answer,) = answers(chat, question)
    length = chat.prompt("qtha-0", question)[0].input_ids.shape[1]
    assert answer.end in ("context", "end token") and length + answer.tokens <= 64
    with pytest.raises(QweftError, match="the model takes 64"):
        answers(chat, "x y z " * 40)


def test_an_adapter_of_another_base_model_is_refused(hybrid, tmp_path):
    other = save_adapter(save_tiny_model(tmp_path / "other"), tmp_path / "b", LoraConfig(target_modules=TARGETS))
    with pytest.raises(QweftError, match=r"of one base model.*--model\.name"):
        talk(hybrid, beside=str(other))
    assert talk(hybrid, {"model": {"name": str(tmp_path / "other")}}, beside=str(other)).names == ["qtha-0", "b"]


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_changes_the_weights_of_the_base_stands_alone(model, hybrid, tmp_path, start):
    folder = save_adapter(model, tmp_path / start, LoraConfig(target_modules=TARGETS, init_lora_weights=start))
    with pytest.raises(QweftError, match=r"changes the base model's own weights .* alone in qweft chat"):
        talk(hybrid, beside=str(folder))
    assert talk(folder).names == [start]


def test_a_head_that_its_file_has_unchanged_is_no_change_of_the_base(model, hybrid, tmp_path):
    """PEFT saves the weight of a wrapped head or embedding beside its LoRA, as it was."""
    folder = save_adapter(model, tmp_path / "head", LoraConfig(target_modules=["lm_head", "q_proj"]))
    weights = load_file(folder / "adapter_model.safetensors")
    assert any("base_layer" in key for key in weights)
    assert talk(hybrid, beside=str(folder)).names == ["qtha-0", "head"]
    changed = {key: tensor * 1.01 if "base_layer" in key else tensor for key, tensor in weights.items()}
    save_file(changed, folder / "adapter_model.safetensors")
    with pytest.raises(QweftError, match="changes the base model's own weights"):
        talk(hybrid, beside=str(folder))


@pytest.fixture
def empty(hybrid):
    """A chat in which nothing was said."""
    return talk(hybrid, beside="base")


def test_what_a_voice_did_not_answer_is_in_no_row(empty):
    """Training takes no empty answer, as a stop leaves one to the second voice; and no open thought."""
    empty.take("How?", said("So.", ""))
    assert len(empty.rows().splitlines()) == 1
    empty.take("And?", said("why\n</think>\n\na", "Here."))
    first, second = ([each["content"] for each in json.loads(row)["messages"]] for row in empty.rows().splitlines())
    assert first == ["How?", "So.", "And?", "<think>\nwhy\n</think>\n\na"]
    assert second == ["And?", "Here."]


def test_save_writes_rows_that_training_reads_and_replaces_nothing(empty, tmp_path):
    empty.obey("/system be brief")
    file = tmp_path / "said.jsonl"
    for question in ("q\u2028r", "r"):
        empty.take(question, said("a", "b"))
    empty.obey(f"/save {file}")
    rows = [json.loads(line) for line in file.read_text().strip().split("\n")]
    assert [len(row["messages"]) for row in rows] == [5, 5] and rows[0]["messages"][0]["role"] == "system"
    assert [row["answered_by"] for row in rows] == ["qtha-0", "base"]
    assert len(list(located_rows(str(file), None, []))) == 2
    text = file.read_text()
    with pytest.raises(QweftError, match="exists"):
        empty.obey(f"/save {file}")
    assert file.read_text() == text


def test_commands(empty):
    empty.take("q", said("a", "b"))
    assert "1 turn forgotten" in empty.obey("/system new one")
    assert (empty.system, empty.turns, empty.asked) == ("new one", [], 1)
    empty.take("q", said("a", "b"))
    assert empty.obey("/system new one") == "system message: new one" and len(empty.turns) == 1
    assert empty.obey("/reset") == "1 turn forgotten" and empty.turns == []
    empty.obey("/system")
    assert empty.system is None
    assert empty.obey("/quit") is None
    assert "/save FILE" in empty.obey("/help")
    with pytest.raises(QweftError, match="with a space"):
        empty.obey("/etc/passwd")


def pieces_of(tokenizer, ids):
    shown = []
    pieces = Pieces(tokenizer, (), shown.append)
    pieces.put(torch.tensor([ids]))  # the prompt
    for token in ids:
        pieces.put(torch.tensor([token]))
    pieces.end()
    return shown, pieces.text


@pytest.mark.parametrize(
    "text", ["hello there", "你好，世界！", "äöü 😀 and more", " 一 \n\n  two  ", "hi<|im_start|>you"]
)
def test_pieces_are_whole_characters_and_make_up_the_text(text):
    tokenizer = make_tokenizer(CHATML)
    shown, told = pieces_of(tokenizer, tokenizer(text, add_special_tokens=False).input_ids)
    text = text.replace("<|im_start|>", "")
    assert shown and not [piece for piece in shown if "\ufffd" in piece]
    assert "".join(shown) == text.lstrip() and told == text.strip()
