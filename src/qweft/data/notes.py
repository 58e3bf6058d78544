"""Notes on the rows of a run: what training and held-out rows share, and what the chat template leaves out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qweft.core.text import many
from qweft.data.conversation import Conversation, normalise
from qweft.data.tokens import closing_tokens
from qweft.data.tool_text import writes_tools

LONG_ANSWER = 40
"""Characters from which on an answer that stands in training rows, too, is told; a class is shorter."""


def describe_overlap(name: str, parts: Mapping[str, Sequence[Conversation]]) -> str:
    """Return what a held-out part shares with the rows of "train", case and white space ignored; empty if nothing."""
    questions: set[str] = set()
    answers: set[str] = set()
    for row in parts["train"]:
        if not row.is_text:
            questions.add(_question(row))
        answer = normalise(row.answer)
        if len(answer) >= LONG_ANSWER:
            answers.add(answer)
    repeated = 0
    for row in parts[name]:
        repeated += _question(row) in questions or normalise(row.answer) in answers
    if not repeated:
        return ""
    verb = "repeats" if repeated == 1 else "repeat"
    return (
        f"{many(repeated, f'{name} row')} {verb} the prompt or the long answer of a training row, which flatters the "
        "result"
    )


def _question(row: Conversation) -> str:
    """Return all that stands before the last answer, without system messages, for comparison."""
    return normalise("\n".join(message.full_text for message in row.prompt if message.role != "system"))


def template_notes(rows: Sequence[Conversation], tokenizer: Any) -> Iterator[str]:
    """Yield what the chat template does not write of the rows."""
    with_tools = sum(row.has_tools for row in rows)
    if with_tools and not writes_tools(tokenizer):
        yield f"{many(with_tools, 'row')} with tools written as text, as the chat template has no place for them"
    if not closing_tokens(tokenizer) and not all(row.is_text for row in rows):
        yield "no end of an answer is learned, as the chat template writes no end token; give one by data.template"
