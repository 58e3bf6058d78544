"""Tokenised conversations with labels on their answers, and windows of long plain texts."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, TypedDict

from qweft.core.errors import QweftError
from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.template import in_its_form, render

IGNORED = -100
"""Label of tokens that the loss ignores."""

NEAR, NEAR_TOKENS = 400, 16
"""Characters before an answer that are tokenised again, and tokens that are compared."""


Span = tuple[int, int]


class Encoded(TypedDict):
    """A tokenised row: `input_ids`, and `labels` that are the token's id where it is learned, else -100."""

    input_ids: list[int]
    labels: list[int]


def fit(row: Encoded, max_length: int, overlong: Literal["cut", "drop"]) -> Encoded | None:
    """Cut or drop a row longer than `max_length` tokens; `None` if it is dropped or has no learned token left."""
    if len(row["input_ids"]) > max_length and overlong == "drop":
        return None
    kept = Encoded(input_ids=row["input_ids"][:max_length], labels=row["labels"][:max_length])
    return kept if target_tokens(kept) else None


def learn_all(row: Encoded) -> Encoded:
    """Return the row with all of its tokens labelled as learned, question and template included."""
    return Encoded(input_ids=row["input_ids"], labels=list(row["input_ids"]))


def target_tokens(row: Encoded) -> int:
    """Return the number of learned tokens of a row, without the first, which no token predicts."""
    return sum(label != IGNORED for label in row["labels"][1:])


def tokenise(conversation: Conversation, tokenizer: Any) -> Encoded:
    """Tokenise a conversation as a whole and label its answers with their ends; of a plain text all is learned."""
    if conversation.is_text:
        tokens = text_tokens(conversation.answer, tokenizer)
        return Encoded(input_ids=tokens, labels=list(tokens))
    try:
        text, spans = answer_spans(conversation, tokenizer)
    except QweftError as fault:
        raise QweftError(f"{conversation.where}: {fault}" if conversation.where else str(fault)) from fault
    ids, offsets = _apart(text, {first for first, _ in spans}, tokenizer)
    labels = [IGNORED] * len(ids)
    before = 0
    for place, (start, end) in enumerate(offsets):
        at = start if start < end else min(start, before)  # some tokenizers give spaces no length
        before = max(before, end)
        if any(first <= at < last for first, last in spans):
            labels[place] = ids[place]
    return Encoded(input_ids=ids, labels=labels)


def _apart(text: str, starts: set[int], tokenizer: Any) -> tuple[list[int], list[Span]]:
    """Return tokens and offsets where no token, such as ":true", holds the end of a prompt and more."""
    ids, offsets = _offsets(text, tokenizer)
    begins = [start for start, _ in offsets]
    for cut in starts:
        before = bisect_left(begins, cut)
        near = slice(max(0, before - NEAR_TOKENS), before)
        alone = _offsets(text[max(0, cut - NEAR) : cut], tokenizer)[0]
        last = min(len(alone) - (cut > NEAR), NEAR_TOKENS)  # the first of them may have been cut
        if any(end > cut for _, end in offsets[near]) or ids[near][-last:] != alone[-last:]:
            break
    else:
        return ids, offsets
    parts: list[int] = []
    places: list[Span] = []
    for cut, following in pairwise(sorted({0, *starts, len(text)})):
        part, within = _offsets(text[cut:following], tokenizer)
        parts += part
        places += [(start + cut, end + cut) for start, end in within]
    return (parts, places) if tokenizer.decode(parts) == tokenizer.decode(ids) else (ids, offsets)


def _offsets(text: str, tokenizer: Any) -> tuple[list[int], list[Span]]:
    if not tokenizer.is_fast:
        raise QweftError(
            f"{type(tokenizer).__name__} gives no character offsets; use a tokenizer with a tokenizer.json"
        )
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return tokens["input_ids"], tokens["offset_mapping"]


TALK = Conversation((Message("user", "a"), Message("assistant", "answer-of-probe")), "")


def closing_tokens(tokenizer: Any) -> set[int]:
    """Return the token that ends an answer in the chat template, if no text is made of it; else nothing."""
    try:
        learned = [label for label in tokenise(TALK, tokenizer)["labels"] if label != IGNORED]
    except QweftError:  # the template refuses such a conversation
        return set()
    return {*learned[-1:]} & tokenizer.added_tokens_decoder.keys()


def text_tokens(text: str, tokenizer: Any) -> list[int]:
    """Return a text's tokens with the special ones that the tokenizer adds; a start token that is there stands once."""
    ids: list[int] = list(tokenizer(text, verbose=False)["input_ids"])
    start = getattr(tokenizer, "bos_token_id", None)
    return ids[1:] if start is not None and ids[:2] == [start, start] else ids


def answer_spans(conversation: Conversation, tokenizer: Any) -> tuple[str, list[Span]]:
    """Return the rendered text and its answers' spans; the last alone where a template rewrites earlier ones."""
    conversation = in_its_form(conversation, tokenizer)
    messages, tools = conversation.messages, conversation.tools
    text = render(messages, tokenizer, tools=tools)
    spans: list[Span] = []
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        before = render(messages[:number], tokenizer, answer_next=True, tools=tools)
        upto = text if number == len(messages) - 1 else render(messages[: number + 1], tokenizer, tools=tools)
        if upto.startswith(before) and text.startswith(upto):
            spans.append((len(before), len(upto.rstrip())))
        elif number == len(messages) - 1:
            raise QweftError(
                f"the chat template changes the prompt before an answer ({before[-60:]!r}); give data.template"
            )
        else:
            spans.append((0, 0))
    spans = spans[-1:] if (0, 0) in spans else spans
    answers = [message for message in messages if message.role == "assistant"]
    for message, span in zip(answers[-len(spans) :], spans, strict=True):
        thought = message.content.rpartition("</think>")[0].strip().removeprefix("<think>").strip()
        if "".join(thought.split()) not in "".join(text[slice(*span)].split()):  # some templates take all thoughts out
            raise QweftError(
                f"the chat template leaves out the chain of thought of an answer ({thought[:40]!r}); give data.template"
            )
    return text, spans


def total_tokens(rows: Sequence[Encoded]) -> int:
    """Return the number of tokens of all rows, without padding."""
    return sum(len(row["input_ids"]) for row in rows)


def windows(conversation: Conversation, tokenizer: Any, max_length: int) -> Iterator[Conversation]:
    """Yield a plain text in pieces of at most `max_length` tokens, of one group; other rows unchanged."""
    text = conversation.answer if conversation.is_text else ""
    if len(text) <= max_length // 5:  # a character has at most four tokens, its bytes
        yield conversation
        return
    starts = [start for start, _ in _offsets(text, tokenizer)[1]]
    room = max(1, max_length - tokenizer.num_special_tokens_to_add())
    first = 0
    while first < len(starts):
        last = min(first + room, len(starts))
        while True:
            while last < len(starts) and last > first + 1 and starts[last] == starts[last - 1]:
                last -= 1
            end = starts[last] if last < len(starts) else len(text)
            piece = text[starts[first] : end]
            # SentencePiece begins each text with a space, and other tokens may stand at its end
            over = len(text_tokens(piece, tokenizer)) - max_length
            if over <= 0 or last == first + 1:
                break
            last = max(first + 1, last - over)
        if piece.strip():
            yield Conversation((Message(TEXT, piece),), conversation.group)
        first = last
