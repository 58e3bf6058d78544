"""Known formats of rows: each row becomes a conversation by its columns."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from qweft.data.columns import (
    KEY,
    SHARED,
    beside_text,
    columns_of,
    is_blank,
    is_text,
    lacking,
    more_of,
    refuse_missed,
    refuse_preferences,
    unknown,
)
from qweft.data.conversation import TEXT, Conversation, Message, prompt_group, text_group
from qweft.data.turns import (
    THOUGHT,
    Row,
    RowError,
    check_characters,
    check_text,
    listed,
    offered,
    plain_text,
    read_tools,
    read_turns,
    refuse_python,
    with_turns,
)

PLAIN = "text"
THOUGHT_COLUMN = "reasoning_content"
OPTIONAL = ("response", "input", "context", "history", "system", "group", "tools", "original_question", THOUGHT_COLUMN)
"""Columns that a row may have beside those that tell its format."""
NEUTRAL = {*OPTIONAL} - {"response"}
"""Those that tell nothing of it."""
WITH_RESPONSE = {"completion", "output"}
"""Columns of the answer that `response` may stand for."""


class Pair(NamedTuple):
    """A format with a column for the question and one for the answer."""

    asks: str
    answers: str
    is_listed: bool = True
    """Whether the list of known formats has it."""

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"{self.asks} [+ context] + {self.answers}"


PAIRS = (
    Pair("question", "answer"),
    Pair("query", "response"),  # MetaMathQA
    # R1-Distill-SFT: prefer the checked chain of thought.
    Pair("problem", "reannotated_assistant_content", is_listed=False),
    Pair("problem", "solution"),
)
"""Formats of two columns; the first with both is used. A new one is an entry here."""


def to_conversation(row: Row, where: str) -> Conversation:
    """Turn a row into a conversation.

    The columns of a row tell its format. The first of `READERS` that fits is used, then the first of `PAIRS`. A row
    with `text` alone is a plain text.

    Tools, calls and results of calls (`tools`, `tool_calls`, role "tool"; ShareGPT's function_call and observation) are
    kept for the chat template.

    A chain of thought in a separate column or key (`reasoning_content`) is put in <think> tags before its answer, of a
    column before the last. A `system` column becomes the first message, unless that says the same already. Turns after
    the last answer are dropped, since nothing is learned from them.

    The group is the column `group` if present, else a hash of the prompt, or of a plain text. MetaMathQA rewrites
    each question in several ways. Its group is the hash of `original_question`, as of a data set with that question.

    Args:
        row: Values by column name.
        where: Place of the row for errors, such as "data.jsonl, row 3".

    Raises:
        RowError: The format is not known, a turn is malformed, or there is no answer.
        QweftError: The row tells good answers from bad ones, or a column would be read but for its name's case or
            plural.
    """
    row = with_turns(row)
    refuse_preferences(row, format_of(row), where)
    messages = _read(row, where)
    refuse_missed(row, more_columns(row), where)
    if messages and messages[0].role == TEXT:
        check_characters(messages, where)
        group = _named_group(row, "group", where) or text_group(messages[0])
        return Conversation(tuple(messages), group, where=where)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not messages:
        raise RowError(where, "there is no answer to learn from")
    if not any(message.role in {"user", "tool", "system"} for message in messages[:1]):
        raise RowError(where, "the answer comes first, and nothing asks for it; put a system message before it")
    first = next(place for place, message in enumerate(messages) if message.role == "assistant")
    if not any(message.content.strip() for message in messages[:first]):
        raise RowError(where, "what stands before the answer is empty, so nothing asks for it")
    _put_system(messages, row, where)
    _put_thought(messages, row, where)
    check_characters(messages, where)
    tools = read_tools(offered(row, messages), where) if has_turns(row) else ""
    check_text(tools, "tools", where)
    asked = _named_group(row, "original_question", where)
    group = _named_group(row, "group", where) or prompt_group([Message("user", asked)] if asked else messages)
    return Conversation(tuple(messages), group, tools, where)


def _put_system(messages: list[Message], row: Row, where: str) -> None:
    """Put a row's column `system` in front, unless the first message says the same already."""
    system = "" if row.get("system") is None else _text(row, "system", where)
    held = messages[0].content if messages[0].role == "system" else ""
    if not system.strip() or held.split() == system.split():
        return
    if held.strip():
        raise RowError(
            where,
            "its column system and its first message, which is a system message, differ, and one of them would be "
            "lost; leave out the column by --data.columns.system ''",
        )
    messages[: int(messages[0].role == "system")] = [Message("system", system)]


def _put_thought(messages: list[Message], row: Row, where: str) -> None:
    """Put a row's column `reasoning_content` before the last answer, unless that begins with the same thought."""
    given, way = row.get(THOUGHT_COLUMN), f"leave out the column by --data.columns.{THOUGHT_COLUMN} ''"
    if not given or isinstance(given, bool | float):  # a number that is none stands for a missing text
        return
    if isinstance(given, Sequence | Mapping) and not isinstance(given, str):
        raise RowError(where, f"its column {THOUGHT_COLUMN} is no text, and is read as one thought; {way}")
    thought = _text(row, THOUGHT_COLUMN, where).strip()
    said = messages[-1].content.strip()
    own, closed, answer = said.rpartition("</think>")  # the prompt may have opened it
    if not thought or (closed and "".join(thought.split()) in "".join(own.split())):
        return
    if own.replace("<think>", "").strip():
        raise RowError(
            where,
            f"its column {THOUGHT_COLUMN} and the thought in its last answer differ, and one of them would be lost; "
            f"{way}",
        )
    messages[-1] = replace(messages[-1], content=THOUGHT.format(thought, answer.strip()))


def has_turns(row: Row) -> bool:
    """Return whether a row holds a list of messages; a column `tools` means something else in other rows."""
    key = next((key for key, *_ in READERS if _tells(row, key)), None)
    told = [row[key], row.get("completion")] if key == "prompt" else []
    return key in TURNS or any(isinstance(value, Sequence) and not isinstance(value, str) for value in told)


def more_columns(row: Row) -> tuple[str, ...]:
    """Return the columns that a row's format reads where the row has them."""
    return more_of(format_of(row), has_turns(row))


def _named_group(row: Row, column: str, where: str) -> str:
    """Return the group in a column; empty if the column is missing or empty."""
    name = "" if row.get(column) in (None, "") else _text(row, column, where)
    check_text(name, column, where)
    return name


def _read(row: Row, where: str) -> list[Message]:
    for key, _, reader in READERS:
        if _tells(row, key):
            return reader(row, where)
    pairs = [pair for pair in PAIRS if row.get(pair.asks) is not None]
    for pair in pairs:
        if row.get(pair.answers) is not None:
            return [_asked([_text(row, pair.asks, where)], row, where), *_answer(row, pair.answers, where)]
    if not pairs and row.get("text") is not None:
        if len(row) > 1 and (fault := beside_text(row, _names(), where)) is not None:
            raise fault
        return _plain(row, where)
    if pairs:
        missing = [pair.answers for pair in sorted(pairs, key=lambda pair: not pair.is_listed)]
        what = f"there is a {pairs[0].asks} but no answer ({' or '.join(missing)} is missing)"
        raise lacking(row, what, missing, where, SHARED)
    raise unknown(row, _names(), where)


def _tells(row: Row, key: str) -> bool:
    """Return whether a column of `READERS` tells a row's format; a thought may stand beside a question and answer."""
    value = row.get(key)
    is_pair = any(row.get(pair.asks) is not None and row.get(pair.answers) is not None for pair in PAIRS)
    if key != THOUGHT_COLUMN:
        # an empty text beside a question and answer is a column of other rows
        is_empty = is_pair and isinstance(value, str) and not value.strip()
        return value is not None and (not is_empty or (key == "instruction" and row.get("output") is not None))
    if value is None:  # of an answer without a thought
        return key in row and not is_pair and row.get("input") is not None and row.get("content") is not None
    return row.get("content") is not None or not is_pair


def _reasoned(row: Row, where: str) -> list[Message]:
    return [Message("user", _text(row, "input", where)), *_answer(row, "content", where)]


def _plain(row: Row, where: str) -> list[Message]:
    text = _text(row, "text", where)
    if not text.strip():
        raise RowError(where, "the text is empty")
    return [Message(TEXT, text)]


def _prompt_completion(row: Row, where: str) -> list[Message]:
    prompt = row["prompt"]
    asked = read_turns(prompt, where) if not isinstance(prompt, str) else [Message("user", prompt)]
    key = _or_response(row, "completion")
    completion = row.get(key)
    refuse_python((prompt, completion), f"prompt and {key}", where)
    if isinstance(completion, Sequence) and not isinstance(completion, str):
        turns = read_turns(completion, where)
        begins = [[turn.role for turn in each[:1]] for each in (asked, turns)]
        first = int(begins[1] == ["system"] != begins[0])
        said, again = (
            [(turn.role, turn.content.split(), turn.more) for turn in each] for each in (asked, turns[first:])
        )
        # a `chosen` may be the whole conversation, which has the prompt, too, or its last question
        kept = next(number for number in range(len(said) + 1) if again[: len(said) - number] == said[number:])
        return asked[:kept] + turns
    if row.get(key) is None:
        raise lacking(
            row, "there is no answer (completion is missing)", ("completion", "response"), where, more_columns(row)
        )
    return asked + _answer(row, key, where)


def _asked(parts: Sequence[str], row: Row, where: str) -> Message:
    """Join what asks and a row's `context`, if that is a text or number, and none of the parts."""
    context = row.get("context")
    text = _text(row, "context", where) if is_text(context) and not is_blank(context) else ""
    has_question = any(part.strip() for part in parts)
    every = [*parts, text if has_question and text not in parts else ""]
    return Message("user", "\n\n".join(part for part in every if part))


def _or_response(row: Row, key: str) -> str:
    """Return the column of a row's answer: `response` takes the place of one that the format names."""
    return "response" if is_blank(row.get(key)) and not is_blank(row.get("response")) else key


def _alpaca(row: Row, where: str) -> list[Message]:
    """Read instruction, input or context, and output or response; `history` holds earlier pairs, oldest first."""
    messages: list[Message] = []
    history = listed(row.get("history"), "history", where)
    if history is not None and history != "" and (not isinstance(history, Sequence) or isinstance(history, str)):
        raise RowError(where, f"history is {type(history).__name__}, not a list of pairs of question and answer")
    for number, pair in enumerate(history or (), 1):
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise RowError(where, f"history entry {number} is not a pair of question and answer")
        asked, answered = (plain_text(part, f"history entry {number}", where) for part in pair)
        if not answered.strip():
            raise RowError(where, f"the answer in history entry {number} is empty")
        messages += [Message("user", asked), Message("assistant", answered)]
    given = row.get("input")
    has_input = bool(given) or (isinstance(given, int | float) and not isinstance(given, bool))  # 0 is one
    parts = [_text(row, "instruction", where), _text(row, "input", where) if has_input else ""]
    messages.append(_asked(parts, row, where))
    key = _or_response(row, "output")
    if key == "response":
        refuse_two_that_ask(row, where)
    return messages + _answer(row, key, where)


def refuse_two_that_ask(row: Row, where: str, response: str = "response") -> None:
    """Refuse a row with instruction, another question and `response`, which answers one of them.

    Args:
        row: The row.
        where: Place of the row for errors.
        response: Name of that column in the file.

    Raises:
        RowError: It is such a row.
    """
    for pair in PAIRS:
        if pair.is_listed and not is_blank(row.get(pair.asks)):
            response = shlex.quote(response)
            answer = response if is_blank(row.get(pair.answers)) else pair.answers
            own = f"--{KEY}.instruction instruction --{KEY}.output {response}"
            other = f"--{KEY}.{pair.asks} {pair.asks} --{KEY}.{pair.answers} {answer}"
            what = f"instruction and {pair.asks} both ask, and response answers one of them"
            raise RowError(where, f"{what}; read them by {own}, or {other}")


def _answer(row: Row, key: str, where: str) -> list[Message]:
    if row.get(key) is None:
        raise lacking(row, f"there is no answer ({key} is missing)", (key,), where, more_columns(row))
    text = _text(row, key, where)
    if not text.strip():
        raise RowError(where, f"the answer ({key}) is empty")
    return [Message("assistant", text)]


def _text(row: Row, key: str, where: str) -> str:
    if row.get(key) is None:
        raise lacking(row, f"{key} is missing", (key,), where, more_columns(row))
    return plain_text(row[key], key, where)


def _turns(key: str) -> Callable[[Row, str], list[Message]]:
    return lambda row, where: read_turns(listed(row[key], key, where), where)


MESSAGES = "messages (role, content)"
TURNS = ("reannotated_messages", "messages", "conversations")
"""Columns of `READERS` that hold a list of messages, or its JSON text."""
READERS: tuple[tuple[str, str, Callable[[Row, str], list[Message]]], ...] = (
    # R1-Distill-SFT
    ("reannotated_messages", MESSAGES, _turns("reannotated_messages")),
    ("messages", MESSAGES, _turns("messages")),
    # ShareGPT
    ("conversations", "conversations (from, value)", _turns("conversations")),
    ("prompt", "prompt + completion", _prompt_completion),
    ("instruction", "instruction [+ input, context, history] + output", _alpaca),
    # Chinese-DeepSeek-R1-Distill
    (THOUGHT_COLUMN, "input + reasoning_content + content", _reasoned),
)
"""(column, name of the format, reader) of each format; the first whose column is present is used. A new one is an entry
here.
"""


def known() -> tuple[str, ...]:
    """Return the names of the formats for people: readers, pairs, plain text."""
    pairs = [pair.name for pair in PAIRS if pair.is_listed]
    return tuple(dict.fromkeys([name for _, name, _ in READERS] + pairs + [PLAIN]))


@cache
def _names() -> tuple[str, ...]:
    """Return the names by whose columns that of a row is guessed."""
    return (*known(), "prompt + response", "instruction [+ input, context, history] + response")


def format_of(row: Row) -> str:
    """Return the name of a row's format; "unknown" if no reader takes it.

    The name is one of `known()`, or that of a pair that is not listed.
    """
    for key, name, _ in READERS:
        if _tells(row, key):
            return name
    for pair in PAIRS:
        if row.get(pair.asks) is not None and row.get(pair.answers) is not None:
            return pair.name
    is_plain = row.get("text") is not None and all(row.get(pair.asks) is None for pair in PAIRS)
    return PLAIN if is_plain else "unknown"


def columns() -> frozenset[str]:
    """Return the columns that rows of any format may have."""
    needed = {column for name in known() for column in columns_of(name)}
    pairs = {column for pair in PAIRS for column in pair[:2]}
    return frozenset({*needed, *pairs, *(key for key, *_ in READERS), *OPTIONAL})
