"""Conversations as tokens, of which only the answers are learned; long texts in windows."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict

from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.template import render
from qweft.errors import QweftError

IGNORED = -100
"""The label that the loss passes over."""

Span = tuple[int, int]


class Encoded(TypedDict):
    """One row as the trainer takes it.

    Keys:
        input_ids: T token ids.
        labels: T labels: the token's own id where it is learned, -100 elsewhere.
    """

    input_ids: list[int]
    labels: list[int]


def encode(
    conversation: Conversation, tokenizer: Any, max_length: int, overlong: Literal["cut", "drop"] = "cut"
) -> Encoded | None:
    """Return the row cut to size, or none where it is too long to keep or nothing of its answers is left.

    Args:
        conversation: What is said.
        tokenizer: A fast transformers tokenizer.
        max_length: Longest row in tokens.
        overlong: What happens to a longer row: "cut" cuts its end, "drop" gives none.

    Raises:
        QweftError: See `tokenise`.
    """
    return fit(tokenise(conversation, tokenizer), max_length, overlong)


def fit(row: Encoded, max_length: int, overlong: Literal["cut", "drop"]) -> Encoded | None:
    """Cut or drop a row longer than `max_length` tokens; none where it is dropped or no learned token is left."""
    if len(row["input_ids"]) > max_length and overlong == "drop":
        return None
    kept = Encoded(input_ids=row["input_ids"][:max_length], labels=row["labels"][:max_length])
    return kept if target_tokens(kept) else None


def learn_all(row: Encoded) -> Encoded:
    """The row with all of its tokens to be learned, question and template too."""
    return Encoded(input_ids=row["input_ids"], labels=list(row["input_ids"]))


def target_tokens(row: Encoded) -> int:
    """Return how many tokens of a row are predicted and learned; the first has nothing before it to predict it from."""
    return sum(label != IGNORED for label in row["labels"][1:])


def tokenise(conversation: Conversation, tokenizer: Any) -> Encoded:
    """Tokenise a whole conversation once and label the tokens that start inside an answer.

    An answer reaches from the end of the opening of its turn to its end-of-turn token, which is learned too; the white
    space that follows belongs to the template. Of a plain text every token is learned.

    Raises:
        QweftError: The tokenizer gives no character offsets, or the chat template does not let the answers be found.
    """
    check_offsets(tokenizer)
    if conversation.is_text:
        return _plain(conversation.answer, tokenizer)
    text, spans = answer_spans(conversation, tokenizer)
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids: list[int] = tokens["input_ids"]
    labels = [IGNORED] * len(ids)
    for place, (start, end) in enumerate(tokens["offset_mapping"]):
        if start < end and any(first <= start < last for first, last in spans):
            labels[place] = ids[place]
    return Encoded(input_ids=ids, labels=labels)


def check_offsets(tokenizer: Any) -> None:
    """See that a tokenizer tells where in the text its tokens are.

    Raises:
        QweftError: If it does not.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise QweftError(
            f"the tokenizer {type(tokenizer).__name__} gives no character offsets, so answers cannot be told from "
            f"prompts; use a fast tokenizer (one with a tokenizer.json)"
        )


def _plain(text: str, tokenizer: Any) -> Encoded:
    """A plain text with the special tokens that the tokenizer puts around one; all of it is learned."""
    ids: list[int] = list(tokenizer(text, verbose=False)["input_ids"])
    return Encoded(input_ids=ids, labels=list(ids))


def answer_spans(conversation: Conversation, tokenizer: Any) -> tuple[str, list[Span]]:
    """Return the rendered text and the character spans of its answers.

    An answer is found by rendering the conversation up to it and up to and with it; both must be beginnings of the
    whole text. Some templates rewrite earlier answers (they drop their chain of thought): of such a conversation only
    the last answer is learned, since the earlier ones stand there in a form the model never gives.

    Raises:
        QweftError: The template rewrites what was said before the last answer, so that no answer can be found.
    """
    messages = conversation.messages
    text = render(messages, tokenizer)
    spans: list[Span] = []
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        before = render(messages[:number], tokenizer, answer_next=True)
        upto = text if number == len(messages) - 1 else render(messages[: number + 1], tokenizer)
        if upto.startswith(before) and text.startswith(upto):
            spans.append((len(before), len(upto.rstrip())))
        elif number == len(messages) - 1:
            raise QweftError(_broken(text, before))
        else:
            spans.append((0, 0))
    rewritten = (0, 0) in spans
    return text, spans[-1:] if rewritten else spans


def _broken(text: str, before: str) -> str:
    same = next((place for place, (a, b) in enumerate(zip(text, before, strict=False)) if a != b), len(text))
    return (
        f"the model's chat template does not keep the prompt when the answer follows: the opening of the answer reads "
        f"{before[same : same + 40]!r} when asked and {text[same : same + 40]!r} when answered; "
        f"give the tokenizer a template that keeps it (tokenizer.chat_template)"
    )


def learned_text(row: Encoded, tokenizer: Any) -> list[str]:
    """Return the learned stretches of a row as text, for showing and for tests."""
    stretches: list[list[int]] = []
    open_stretch = False
    for label in row["labels"]:
        if label == IGNORED:
            open_stretch = False
            continue
        if not open_stretch:
            stretches.append([])
        stretches[-1].append(label)
        open_stretch = True
    return [str(tokenizer.decode(ids)) for ids in stretches]


def answer_count(row: Encoded) -> int:
    """Return the number of learned stretches of a row: one an answer."""
    learned = [label != IGNORED for label in row["labels"]]
    return sum(now and not before for before, now in zip([False, *learned], learned, strict=False))


def total_tokens(rows: Sequence[Encoded]) -> int:
    """Return the number of tokens of all rows, padding aside."""
    return sum(len(row["input_ids"]) for row in rows)


def windows(conversation: Conversation, tokenizer: Any, max_length: int) -> Iterator[Conversation]:
    """Yield a conversation as it is, and a plain text in pieces of at most `max_length` tokens, none overlapping.

    A piece ends between two tokens, and never inside a character (of Chinese one may be several tokens). All pieces
    belong to the group of the whole, so that a split keeps them together.

    Args:
        conversation: Any.
        tokenizer: A fast transformers tokenizer.
        max_length: Tokens of a piece, special tokens included.
    """
    text = conversation.answer
    if not conversation.is_text or len(text) <= max_length // 5:  # a character is at most four tokens, its bytes
        yield conversation
        return
    check_offsets(tokenizer)
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    starts = [start for start, _ in tokens["offset_mapping"]]
    room = max(1, max_length - tokenizer.num_special_tokens_to_add())
    first = 0
    while first < len(starts):
        last = min(first + room, len(starts))
        while last < len(starts) and last > first + 1 and starts[last] == starts[last - 1]:
            last -= 1
        end = starts[last] if last < len(starts) else len(text)
        piece = text[starts[first] : end]
        if piece.strip():
            yield Conversation((Message(TEXT, piece),), conversation.group)
        first = last
