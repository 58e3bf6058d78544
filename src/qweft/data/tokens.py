"""Tokenised conversations with labels on their answers."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypedDict

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation, Message
from qweft.data.template import render
from qweft.data.tool_text import adapt_to_template

IGNORED = -100
"""Label of tokens that the loss ignores."""
NEAR_CHARACTERS = 400
"""Characters before an answer that are tokenised again, to see whether a token holds the end of the prompt and more."""
NEAR_TOKENS = 16
"""Tokens before an answer that are compared with those."""

Span = tuple[int, int]
"""First character, and the one after the last."""


class Encoded(TypedDict):
    """A tokenised row: `input_ids`, and `labels` that are the token's id where it is learned, else -100."""

    input_ids: list[int]
    labels: list[int]


def fit(row: Encoded, max_length: int, overlong: Literal["cut", "drop"]) -> Encoded | None:
    """Cut or drop a row longer than `max_length` tokens; `None` if it is dropped or has no learned token left."""
    if len(row["input_ids"]) > max_length and overlong == "drop":
        return None
    kept = Encoded(input_ids=row["input_ids"][:max_length], labels=row["labels"][:max_length])
    if target_tokens(kept) == 0:
        return None
    return kept


def learn_all(row: Encoded) -> Encoded:
    """Return the row with all of its tokens labelled as learned, question and template included."""
    return Encoded(input_ids=row["input_ids"], labels=list(row["input_ids"]))


def target_tokens(row: Encoded) -> int:
    """Return the number of learned tokens of a row, without the first, which no token predicts."""
    return sum(label != IGNORED for label in row["labels"][1:])


def total_tokens(rows: Iterable[Encoded]) -> int:
    """Return the number of tokens of all rows, without padding."""
    return sum(len(row["input_ids"]) for row in rows)


def tokenise(conversation: Conversation, tokenizer: Any) -> Encoded:
    """Tokenise a conversation as a whole and label its answers with their ends; of a plain text all is learned."""
    if conversation.is_text:
        tokens = text_tokens(conversation.answer, tokenizer)
        return Encoded(input_ids=tokens, labels=list(tokens))
    try:
        text, spans = answer_spans(conversation, tokenizer)
    except QweftError as fault:
        place = f"{conversation.where}: " if conversation.where else ""
        raise QweftError(f"{place}{fault}") from fault
    # the whole text is tokenised once: its parts alone would have other tokens at their ends
    answer_starts = {start for start, _ in spans}
    ids, offsets = _tokens_apart(text, answer_starts, tokenizer)
    return Encoded(input_ids=ids, labels=_label_spans(ids, offsets, spans))


def text_tokens(text: str, tokenizer: Any) -> list[int]:
    """Return a text's tokens with the special ones that the tokenizer adds; a start token that is there stands once."""
    ids: list[int] = list(tokenizer(text, verbose=False)["input_ids"])
    start = getattr(tokenizer, "bos_token_id", None)
    if start is not None and ids[:2] == [start, start]:
        return ids[1:]
    return ids


def _label_spans(ids: Sequence[int], offsets: Sequence[Span], spans: Sequence[Span]) -> list[int]:
    """Return the id of each token that begins in one of the spans, and -100 for all others."""
    labels = [IGNORED] * len(ids)
    last_end = 0
    for index, (start, end) in enumerate(offsets):
        position = start
        if start >= end:  # some tokenizers give spaces no length
            position = min(start, last_end)
        last_end = max(last_end, end)
        if any(first <= position < last for first, last in spans):
            labels[index] = ids[index]
    return labels


def _tokens_apart(text: str, starts: set[int], tokenizer: Any) -> tuple[list[int], list[Span]]:
    """Return tokens and offsets where no token, such as ":true", holds the end of a prompt and more.

    A prompt for generation ends at its answer's start. If it were tokenised in another way there than in training, the
    model would be asked in another way than it was trained.
    """
    ids, offsets = offset_tokens(text, tokenizer)
    if all(_is_boundary(start, text, ids, offsets, tokenizer) for start in starts):
        return ids, offsets
    cut_ids: list[int] = []
    cut_offsets: list[Span] = []
    for start, end in pairwise(sorted({0, *starts, len(text)})):
        part_ids, part_offsets = offset_tokens(text[start:end], tokenizer)
        cut_ids += part_ids
        cut_offsets += [(first + start, last + start) for first, last in part_offsets]
    # SentencePiece begins each part with a space, and would write another text
    if tokenizer.decode(cut_ids) != tokenizer.decode(ids):
        return ids, offsets
    return cut_ids, cut_offsets


def _is_boundary(start: int, text: str, ids: list[int], offsets: list[Span], tokenizer: Any) -> bool:
    """Return whether the text before an answer has the tokens that it would have alone."""
    count = bisect_left(offsets, start, key=lambda offset: offset[0])  # tokens that begin before the answer
    near = slice(max(0, count - NEAR_TOKENS), count)
    if any(end > start for _, end in offsets[near]):
        return False
    alone, _ = offset_tokens(text[max(0, start - NEAR_CHARACTERS) : start], tokenizer)
    compared = len(alone)
    if start > NEAR_CHARACTERS:
        compared -= 1  # the first of them may have been cut
    compared = min(compared, NEAR_TOKENS)
    return ids[near][-compared:] == alone[-compared:]


def offset_tokens(text: str, tokenizer: Any) -> tuple[list[int], list[Span]]:
    """Return a text's tokens without special ones that the tokenizer would add, and the characters of each."""
    if not tokenizer.is_fast:
        raise QweftError(
            f"{type(tokenizer).__name__} gives no character offsets; use a tokenizer with a tokenizer.json"
        )
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return tokens["input_ids"], tokens["offset_mapping"]


PROBE = Conversation((Message("user", "a"), Message("assistant", "answer-of-probe")), "")


def closing_tokens(tokenizer: Any) -> set[int]:
    """Return the token that ends an answer in the chat template, if no text is made of it; else nothing."""
    try:
        row = tokenise(PROBE, tokenizer)
    except QweftError:  # the template refuses such a conversation
        return set()
    learned = [label for label in row["labels"] if label != IGNORED]
    # a token of text, such as a newline, would end answers too early
    return set(learned[-1:]) & tokenizer.added_tokens_decoder.keys()


def answer_spans(conversation: Conversation, tokenizer: Any) -> tuple[str, list[Span]]:
    """Return the rendered text and its answers' spans; the last alone where a template rewrites earlier ones."""
    conversation = adapt_to_template(conversation, tokenizer)
    messages = conversation.messages
    text = render(messages, tokenizer, tools=conversation.tools)
    answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    spans: list[Span] = []
    for number in answers:
        span = _answer_span(conversation, number, text, tokenizer)
        if span is not None:
            spans.append(span)
    # Where a template takes earlier thoughts out, earlier answers follow no prompt that generation would have.
    if len(spans) < len(answers):
        spans = spans[-1:]
    for number, span in zip(answers[-len(spans) :], spans, strict=True):
        _check_thought(messages[number], text[slice(*span)])
    return text, spans


def _answer_span(conversation: Conversation, number: int, text: str, tokenizer: Any) -> Span | None:
    """Return where the message of this number stands in the whole text; `None` if the text has it in another form.

    It begins where a prompt of the messages before it ends: what stands there was asked for, not learned.
    """
    messages = conversation.messages
    is_last = number == len(messages) - 1
    before = render(messages[:number], tokenizer, answer_next=True, tools=conversation.tools)
    through = text
    if not is_last:
        through = render(messages[: number + 1], tokenizer, tools=conversation.tools)
    if through.startswith(before) and text.startswith(through):
        return len(before), len(through.rstrip())
    if is_last:
        raise QweftError(
            f"the chat template changes the prompt before an answer ({before[-60:]!r}); give data.template"
        )
    return None


def _check_thought(answer: Message, rendered: str) -> None:
    """Raise if an answer's chain of thought is not in its rendered text: some templates take all thoughts out."""
    thought = answer.content.rpartition("</think>")[0].strip().removeprefix("<think>").strip()
    if "".join(thought.split()) not in "".join(rendered.split()):
        raise QweftError(
            f"the chat template leaves out the chain of thought of an answer ({thought[:40]!r}); give data.template"
        )
