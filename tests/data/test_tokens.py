import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from qweft.core.errors import QweftError
from qweft.data.batches import Collator
from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.template import render, with_template
from qweft.data.tokens import IGNORED, fit, target_tokens, tokenise
from qweft.data.windows import windows
from tests.data.tiny_tokenizer import CHATML, learned_text, make_tokenizer

CHAT, PLAIN = make_tokenizer(CHATML), make_tokenizer(None)

# Text without the special tokens' signs; an answer has a visible beginning and end, as templates may trim white space.
inner = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="<|>\r"), max_size=20)
texts = st.builds(lambda a, b, c: a + b + c, st.sampled_from("aä1你"), inner, st.sampled_from("z😀."))


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, min_size=2, max_size=6).filter(lambda turns: len(turns) % 2 == 0), st.none() | texts)
def test_decoding_the_learned_tokens_gives_exactly_the_answers(turns, system):
    messages = [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(turns)]
    conversation = Conversation((*([Message("system", system)] if system else []), *messages), "g")
    row = tokenise(conversation, CHAT)
    assert learned_text(row, CHAT) == [f"{text}<|im_end|>" for text in turns[1::2]]
    assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))
    assert CHAT.decode(row["input_ids"]) == render(conversation.messages, CHAT)
    plain = tokenise(conversation, PLAIN)
    assert learned_text(plain, PLAIN) == [f" {text}<|im_end|>" for text in turns[1::2]]


def test_the_prompt_of_training_is_the_prompt_of_generation(talk, chatml, plain):
    for tokenizer in (chatml, plain):
        row = tokenise(talk("How many?", "12 apples"), tokenizer)
        first = next(place for place, label in enumerate(row["labels"]) if label != IGNORED)
        asked = render(talk("How many?", "12 apples").prompt, tokenizer, answer_next=True)
        assert row["input_ids"][:first] == tokenizer(asked, add_special_tokens=False).input_ids


def test_the_plain_template(talk, plain):
    text = render(talk("2+2?", "4", "sure?", "yes", system="Be kind.").messages, plain)
    assert text == "Be kind.\nUser: 2+2?\nAssistant: 4<|im_end|>\nUser: sure?\nAssistant: yes<|im_end|>\n"


def test_long_rows_are_cut_or_dropped(talk, chatml):
    conversation = talk("How many apples are there?", "There are 12 apples.")
    whole = tokenise(conversation, chatml)
    length = len(whole["input_ids"])
    assert fit(whole, length, "cut") == fit(whole, length, "drop") == whole
    assert fit(whole, length - 1, "drop") is None
    shorter = fit(whole, length - 3, "cut")
    assert shorter == {key: value[: length - 3] for key, value in whole.items()}
    first = next(place for place, label in enumerate(whole["labels"]) if label != IGNORED)
    assert fit(whole, first, "cut") is None
    assert target_tokens(fit(whole, first + 1, "cut")) == 1


REWRITES = (
    "{% for m in messages %}[{{ m['role'] }}]"
    "{{ m['content'] if loop.last else m['content'].split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_a_template_that_drops_earlier_thoughts_teaches_only_the_last_answer(talk, tokenizer_with):
    tokenizer = tokenizer_with(REWRITES)
    row = tokenise(talk("a?", "hm</think>b", "c?", "so</think>d"), tokenizer)
    assert learned_text(row, tokenizer) == ["so</think>d<|im_end|>"]
    assert len(learned_text(tokenise(talk("a?", "b", "c?", "d"), tokenizer), tokenizer)) == 2


THOUGHTLESS = CHATML.replace("m['content']", "m['content'].split('</think>')[-1].lstrip()")
"""Takes a chain of thought out of every answer, as that of Llama-3.3-Nemotron-Super-49B-v1.5."""


def test_a_template_that_drops_the_thought_of_the_last_answer_is_refused(talk, tokenizer_with):
    tokenizer = tokenizer_with(THOUGHTLESS)
    for said in (["a?", "<think>\nI add.\n</think>\n\n4"], ["a?", "I add.</think>4", "b?", "5"]):
        with pytest.raises(QweftError, match=r"leaves out the chain of thought of an answer \('I add\.'\)"):
            tokenise(talk(*said), tokenizer)
    row = tokenise(talk("a?", "<think>\n\n</think>\n\n4", "b?", "5"), tokenizer)  # without thoughts
    assert learned_text(row, tokenizer) == ["4<|im_end|>", "5<|im_end|>"]
    own = with_template(tokenizer, "<|im_start|>{query}<|im_end|>")
    row = tokenise(talk("a?", "<think>\nI add.\n</think>\n\n4"), own)
    assert learned_text(row, own) == ["<think>\nI add.\n</think>\n\n4<|im_end|>"]


@pytest.mark.parametrize("role", ["system", "user", "tool", "assistant"])
def test_a_template_that_leaves_out_a_role_is_refused(tokenizer_with, role):
    turns = [Message(each, f"{each} says") for each in ("system", "user", "tool", "assistant")]
    tokenise(Conversation(tuple(turns), "g"), tokenizer_with(CHATML))
    without = CHATML.replace("m['content']", f"(m['content'] if m['role'] != '{role}' else '')")
    with pytest.raises(QweftError, match=f"leaves out what the {role} says"):
        tokenise(Conversation(tuple(turns), "g"), tokenizer_with(without))


WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""How Qwen's and Llama 3's tokenizers split text: a sign and the letters after it may be one token."""


@pytest.fixture(scope="module")
def joining():
    raw = Tokenizer(BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    raw.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=letters, show_progress=False)
    raw.train_from_iterator([":true", " true", "\n\n"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


@pytest.mark.parametrize("answer", ["true", " true", "\ntrue"])
@pytest.mark.parametrize("ending", ["A:", "A: ", "A:\n", "A:  ", "A:\n\n", "A:\n\n\n", "x" * 500 + "\n\n"])
def test_no_token_holds_the_end_of_a_prompt_and_the_beginning_of_an_answer(talk, joining, ending, answer):
    made = with_template(joining, "{query}\n" + ending)
    said = talk("2+2=4?", answer)
    row = tokenise(said, made)
    assert made.decode(row["input_ids"]) == render(said.messages, made) == f"2+2=4?\n{ending}{answer}<|endoftext|>"
    asked = made(render(said.prompt, made, answer_next=True), add_special_tokens=False).input_ids
    assert row["input_ids"][: len(asked)] == asked
    assert row["labels"] == [IGNORED] * len(asked) + row["input_ids"][len(asked) :]
    assert learned_text(row, made)[0].lstrip(" ") == f"{answer}<|endoftext|>".lstrip(" ")


def test_spaces_are_learned_where_a_tokenizer_takes_them_off_its_offsets(talk):
    tokenizer = make_tokenizer(CHATML)
    tokenizer._tokenizer.post_processor = ByteLevel(trim_offsets=True)
    said = talk("  a  ?", "if x:\n        y    = 1")
    row = tokenise(said, tokenizer)
    assert learned_text(row, tokenizer) == ["if x:\n        y    = 1<|im_end|>"]


@settings(max_examples=200, deadline=None)
@given(content=st.text(st.sampled_from("ab 你好😀ä\n."), min_size=1, max_size=200), limit=st.integers(4, 40))
def test_pieces_make_up_the_text_and_none_is_too_long(content, limit):
    pieces = list(windows(Conversation((Message(TEXT, content),), "book"), PLAIN, limit))
    kept = "".join(piece.answer for piece in pieces)
    assert kept.replace(" ", "").replace("\n", "") == content.replace(" ", "").replace("\n", "")
    for piece in pieces:
        assert piece.group == "book" and piece.is_text
        row = tokenise(piece, PLAIN)
        assert len(row["input_ids"]) <= limit
        assert row["labels"] == row["input_ids"]


def test_padding_is_on_the_right_and_masked_by_length_not_by_token():
    end = 1
    rows = [
        {"input_ids": [7, 8, end], "labels": [IGNORED, 8, end]},
        {"input_ids": [9, end, 5, 6, end], "labels": [IGNORED, IGNORED, 5, 6, end]},
    ]
    batch = Collator(pad_token_id=end)(rows)
    assert batch["input_ids"].tolist() == [[7, 8, end, end, end], [9, end, 5, 6, end]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    # The end of each answer is a target although it equals the pad token; padding never is.
    assert batch["labels"].tolist() == [[IGNORED, 8, end, IGNORED, IGNORED], [IGNORED, IGNORED, 5, 6, end]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
