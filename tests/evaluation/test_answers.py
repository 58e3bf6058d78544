"""generate_answers against transformers' own greedy search on a tiny random model."""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from qweft.data.conversation import Conversation, Message
from qweft.evaluation import generation
from qweft.evaluation.generation import prompt_of

TEMPLATE = (
    "{% for m in messages %}<s> {{ m.role }} {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    words = ["<pad>", "<unk>", "<s>", "</s>", "user", "assistant", "system", *(f"w{i}" for i in range(40))]
    raw = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = Whitespace()
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.4,
        eos_token_id=None,
        attention_dropout=0.5,
    )
    return LlamaForCausalLM(config).train()


def conversation(*texts):
    roles = ("user", "assistant") * len(texts)
    return Conversation(tuple(Message(r, t) for r, t in zip(roles, texts, strict=False)), group="g")


ONE = conversation("w1 w2 w3", "w4")
TWO = conversation("w9 w8", "w7 w6", "w5 w5 w5 w5 w5 w5", "w11")


def greedy(model, tokenizer, messages, count):
    """transformers' own search without any end token."""
    text = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in messages], add_generation_prompt=True, tokenize=False
    )
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    model.eval()
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, eos_token_id=None,
        pad_token_id=0, repetition_penalty=1.0,
    )  # fmt: skip
    model.train()
    return out[0, ids.shape[1] :].tolist()


def answers_of(model, tokenizer, conversations, *how):
    return generation.generate_answers(model, tokenizer, [prompt_of(each, tokenizer) for each in conversations], *how)


def test_is_the_greedy_answer_whatever_the_models_settings(model, tokenizer):
    wanted = [greedy(model, tokenizer, c.messages[:-1], 12) for c in (ONE, TWO)]
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.do_sample = True
    answers = answers_of(model, tokenizer, [ONE, TWO], 12)
    for answer, ids in zip(answers, wanted, strict=True):
        ids = ids[: ids.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in ids else ids
        assert answer.generated == tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert any(len(answer.generated.split()) > 3 for answer in answers)


@pytest.mark.parametrize("several", [False, True])
def test_stops_at_an_end_token_of_the_model(model, tokenizer, several):
    ids = greedy(model, tokenizer, ONE.messages[:-1], 12)
    end = next(token for i, token in enumerate(ids) if i >= 2 and token not in ids[:i])
    model.generation_config.eos_token_id = [end, 1] if several else end
    answer = answers_of(model, tokenizer, [ONE], 12)[0]
    assert answer.generated == tokenizer.decode(ids[: ids.index(end)], skip_special_tokens=True).strip()


def many(count):
    """Conversations of different lengths."""
    return [conversation(" ".join(f"w{(7 * i + k) % 40}" for k in range(1 + i % 9)), "w1") for i in range(count)]


@pytest.mark.parametrize("batch", [2, 3, 16])
def test_an_answer_does_not_depend_on_the_batch(model, tokenizer, batch):
    model.generation_config.eos_token_id = [7, 9, 11, 13]  # rows end at different tokens, or are cut
    one_by_one = answers_of(model, tokenizer, many(16), 12)
    assert answers_of(model, tokenizer, many(16), 12, batch) == one_by_one
    assert len({len(answer.generated) for answer in one_by_one}) > 3
    assert {answer.is_cut for answer in one_by_one} == {True, False}


@pytest.mark.parametrize("batch", [1, 3])
def test_answers_end_where_the_model_reads_no_more(tokenizer, batch):
    """GPT-2 has a table of positions, beyond which nothing can be looked up."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1, n_positions=20))
    model.generation_config.eos_token_id = None
    found = answers_of(model, tokenizer, many(9), 12, batch)
    lengths = [len(prompt_of(each, tokenizer).ids) for each in many(9)]
    assert min(lengths) + 12 <= 20 < max(lengths) + 12
    assert all(len(each.generated.split()) <= 20 - n for each, n in zip(found, lengths, strict=True))
    assert found == answers_of(model, tokenizer, many(9), 12)
