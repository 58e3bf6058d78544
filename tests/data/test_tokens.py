"""Tokens and labels: exactly the answers are learned, and prompts are those of generation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from qweft.core.errors import QweftError
from qweft.data.template import render, with_template
from qweft.data.tokens import IGNORED, fit, target_tokens, tokenise
from tests.data.examples import make_conversation
from tests.data.tiny_tokenizer import CHATML, learned_texts, make_tokenizer

CHAT, PLAIN = make_tokenizer(CHATML), make_tokenizer(None)

# Text without the special tokens' signs; an answer has a visible beginning and end, as templates may trim white space.
inner = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="<|>\r"), max_size=20)
texts = st.builds(lambda *parts: "".join(parts), st.sampled_from("aä1你"), inner, st.sampled_from("z😀."))
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=3)
conversations = st.builds(
    lambda pairs, system: make_conversation(*[text for pair in pairs for text in pair], system=system),
    pairs,
    st.none() | texts,
)


def answers(conversation):
    return [message.content for message in conversation.messages if message.role == "assistant"]


@settings(max_examples=150, deadline=None)
@given(conversations)
def test_decoding_the_learned_tokens_gives_exactly_the_answers(conversation):
    row = tokenise(conversation, CHAT)
    assert learned_texts(row, CHAT) == [f"{answer}<|im_end|>" for answer in answers(conversation)]
    assert CHAT.decode(row["input_ids"]) == render(conversation.messages, CHAT)
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        assert label in (IGNORED, token)


@settings(max_examples=150, deadline=None)
@given(conversations)
def test_the_same_holds_without_a_chat_template(conversation):
    row = tokenise(conversation, PLAIN)
    assert learned_texts(row, PLAIN) == [f" {answer}<|im_end|>" for answer in answers(conversation)]


def first_learned(row):
    """The number of the first learned token."""
    return next(index for index, label in enumerate(row["labels"]) if label != IGNORED)


@pytest.mark.parametrize("tokenizer", [CHAT, PLAIN], ids=["chat template", "plain"])
def test_the_prompt_of_training_is_the_prompt_of_generation(tokenizer):
    conversation = make_conversation("How many?", "12 apples")
    row = tokenise(conversation, tokenizer)
    prompt = render(conversation.prompt, tokenizer, answer_next=True)
    assert row["input_ids"][: first_learned(row)] == tokenizer(prompt, add_special_tokens=False).input_ids


@pytest.fixture
def whole_row(chatml):
    return tokenise(make_conversation("How many apples are there?", "There are 12 apples."), chatml)


def test_a_row_that_fits_stays(whole_row):
    length = len(whole_row["input_ids"])
    assert fit(whole_row, length, "cut") == fit(whole_row, length, "drop") == whole_row


def test_a_longer_row_is_cut_or_dropped(whole_row):
    shorter = len(whole_row["input_ids"]) - 3
    assert fit(whole_row, shorter, "drop") is None
    assert fit(whole_row, shorter, "cut") == {name: values[:shorter] for name, values in whole_row.items()}


def test_a_row_cut_before_its_answer_is_dropped(whole_row):
    prompt = first_learned(whole_row)
    assert fit(whole_row, prompt, "cut") is None
    assert target_tokens(fit(whole_row, prompt + 1, "cut")) == 1


DROPS_EARLIER_THOUGHTS = (
    "{% for m in messages %}[{{ m['role'] }}]"
    "{{ m['content'] if loop.last else m['content'].split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_a_template_that_drops_earlier_thoughts_teaches_only_the_last_answer():
    tokenizer = make_tokenizer(DROPS_EARLIER_THOUGHTS)
    row = tokenise(make_conversation("a?", "hm</think>b", "c?", "so</think>d"), tokenizer)
    assert learned_texts(row, tokenizer) == ["so</think>d<|im_end|>"]
    row = tokenise(make_conversation("a?", "hm</think>b", "c?", "d", "e?", "so</think>f"), tokenizer)
    assert learned_texts(row, tokenizer) == ["so</think>f<|im_end|>"]


def test_such_a_template_teaches_all_answers_without_thoughts():
    tokenizer = make_tokenizer(DROPS_EARLIER_THOUGHTS)
    row = tokenise(make_conversation("a?", "b", "c?", "d"), tokenizer)
    assert len(learned_texts(row, tokenizer)) == 2


DROPS_THOUGHTS = CHATML.replace("m['content']", "m['content'].split('</think>')[-1].lstrip()")
"""Takes a chain of thought out of every answer, as that of Llama-3.3-Nemotron-Super-49B-v1.5."""


@pytest.mark.parametrize(
    "texts", [("a?", "<think>\nI add.\n</think>\n\n4"), ("a?", "I add.</think>4", "b?", "5")], ids=["last", "earlier"]
)
def test_a_template_that_drops_a_thought_is_refused(texts):
    with pytest.raises(QweftError, match=r"leaves out the chain of thought of an answer \('I add\.'\)"):
        tokenise(make_conversation(*texts), make_tokenizer(DROPS_THOUGHTS))


def test_such_a_template_may_be_used_without_thoughts():
    tokenizer = make_tokenizer(DROPS_THOUGHTS)
    row = tokenise(make_conversation("a?", "<think>\n\n</think>\n\n4", "b?", "5"), tokenizer)
    assert learned_texts(row, tokenizer) == ["4<|im_end|>", "5<|im_end|>"]


def test_a_users_template_in_its_place_keeps_thoughts():
    templated = with_template(make_tokenizer(DROPS_THOUGHTS), "<|im_start|>{query}<|im_end|>")
    row = tokenise(make_conversation("a?", "<think>\nI add.\n</think>\n\n4"), templated)
    assert learned_texts(row, templated) == ["<think>\nI add.\n</think>\n\n4<|im_end|>"]


WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""How Qwen's and Llama 3's tokenizers split text: a sign and the letters after it may be one token."""


@pytest.fixture(scope="module")
def joining():
    """A tokenizer with tokens such as ":true", which may hold the end of a prompt and the beginning of an answer."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([":true", " true", "\n\n"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


@pytest.mark.parametrize("answer", ["true", " true", "\ntrue"])
@pytest.mark.parametrize("ending", ["A:", "A: ", "A:\n", "A:  ", "A:\n\n", "A:\n\n\n", "x" * 500 + "\n\n"])
def test_no_token_holds_the_end_of_a_prompt_and_the_beginning_of_an_answer(joining, ending, answer):
    templated = with_template(joining, "{query}\n" + ending)
    conversation = make_conversation("2+2=4?", answer)
    row = tokenise(conversation, templated)
    text = render(conversation.messages, templated)
    assert templated.decode(row["input_ids"]) == text == f"2+2=4?\n{ending}{answer}<|endoftext|>"
    prompt = templated(render(conversation.prompt, templated, answer_next=True), add_special_tokens=False).input_ids
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"] == [IGNORED] * len(prompt) + row["input_ids"][len(prompt) :]
    assert learned_texts(row, templated)[0].lstrip(" ") == f"{answer}<|endoftext|>".lstrip(" ")


def test_spaces_are_learned_where_a_tokenizer_takes_them_off_its_offsets():
    tokenizer = make_tokenizer(CHATML)
    tokenizer._tokenizer.post_processor = ByteLevel(trim_offsets=True)
    row = tokenise(make_conversation("  a  ?", "if x:\n        y    = 1"), tokenizer)
    assert learned_texts(row, tokenizer) == ["if x:\n        y    = 1<|im_end|>"]
