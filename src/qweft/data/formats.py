"""Formats of rows: the columns of a row tell which one it has, and each row becomes a conversation."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from qweft.core.errors import QweftError
from qweft.data.conversation import TEXT, Conversation, Message, default_group
from qweft.data.turns import (
    Row,
    RowError,
    is_list,
    parsed_list,
    plain_text,
    read_tools,
    read_turns,
    with_thought,
)

KEY = "data.columns"
THOUGHT_COLUMN = "reasoning_content"
SHARED = ("system", "group", "original_question", THOUGHT_COLUMN)
"""Columns that every format reads where a row has them, a plain text only `group`."""


@dataclass(frozen=True)
class Format:
    """A format of rows; `input` and `context` are added to what asks, `history` holds earlier pairs."""

    needs: tuple[str, ...]  # columns that a row must have: a list of messages, a text, or what asks and the answer
    more: tuple[str, ...] = ()  # columns that are read where a row has them
    keys: str = ""  # keys of the messages, for people

    @cached_property
    def name(self) -> str:
        """Its name for people: "instruction [+ input, context, history] + output"."""
        more = [each for each in self.more if each != "tools"]
        asks = f"{self.needs[0]} [+ {', '.join(more)}]" if more else self.needs[0]
        return " + ".join([asks, *self.needs[1:]]) + (f" ({self.keys})" if self.keys else "")

    @cached_property
    def columns(self) -> frozenset[str]:
        """All columns that it reads."""
        return frozenset((*self.needs, *self.more, *(("group",) if self.needs == ("text",) else SHARED)))

    def fits(self, row: Row) -> bool:
        """Return whether something stands in each needed column; an `input` may ask in place of an instruction."""
        asks, *others = self.needs
        if asks not in row or any(is_blank(row.get(each)) for each in others):
            return False
        return not is_blank(row[asks]) or ("input" in self.more and not is_blank(row.get("input")))


ALPACA = ("input", "context", "history")
FORMATS = (
    Format(("reannotated_messages",), ("tools",), "role, content"),  # R1-Distill-SFT
    Format(("messages",), ("tools",), "role, content"),
    Format(("conversations",), ("tools",), "from, value"),  # ShareGPT
    Format(("prompt", "completion"), ("tools",)),
    Format(("prompt", "response"), ("tools",)),
    Format(("instruction", "output"), ALPACA),
    Format(("instruction", "response"), ALPACA),  # Dolly
    Format(("question", "answer"), ("context",)),
    Format(("query", "response"), ("context",)),  # MetaMathQA
    Format(("problem", "reannotated_assistant_content")),  # R1-Distill-SFT's checked thoughts
    Format(("problem", "solution"), ("context",)),
    Format(("input", "content")),  # Chinese-DeepSeek-R1-Distill, with `reasoning_content`
    Format(("text",)),
)
"""The first that fits a row is used. A new format is an entry here."""


def known() -> str:
    """Return the names of the formats for people."""
    return "; ".join(each.name for each in FORMATS)


def formats_of(columns: Mapping[str, str]) -> tuple[Format, ...]:
    """Return the formats that read all columns named in `data.columns`; without any, all formats."""
    named = {name for name, own in columns.items() if own}
    formats = tuple(each for each in FORMATS if named <= each.columns)
    if not formats:
        raise QweftError(f"{KEY}: no format has the columns {', '.join(sorted(named))}; there are {known()}")
    return formats


def renamed(row: Row, columns: Mapping[str, str], where: str) -> Row:
    """Return a row with its columns under the names that the formats have."""
    if not columns:
        return row
    taken = {own if own in row else own.partition(".")[0] for own in columns.values()} | {*columns}
    kept = {name: value for name, value in row.items() if name not in taken}
    for name, own in columns.items():
        if own:
            kept[name] = row
            for part in [own] if own in row else own.split("."):
                if not isinstance(kept[name], Mapping) or part not in kept[name]:
                    what = f"{KEY}.{name}: the row has no column {own!r}; its columns are {_names(row)}"
                    raise RowError(where, what)
                kept[name] = kept[name][part]
    return kept


def format_of(row: Row, where: str, formats: Collection[Format] = FORMATS) -> Format:
    """Return the format of a row: the first of `formats` that fits."""
    if not is_blank(row.get("chosen")) and not is_blank(row.get("rejected")):
        raise QweftError(
            f"{where}: chosen and rejected are preferences, and here every answer is learned; learn the chosen ones by "
            f"--{KEY}.response chosen (.messages for whole conversations), or use TRL's DPOTrainer with a QwthnConfig"
        )
    form = next((each for each in formats if each.fits(row)), None)
    if form is not None:
        label = str(row.get("label")).strip().casefold()
        # numbers are such labels in TRL's format, and classes in others, as every label of a text
        is_verdict = label in ("true", "false") or (form.needs[0] == "prompt" and label in ("0", "1", "0.0", "1.0"))
        if is_verdict and form.needs != ("text",):
            raise QweftError(
                f"{where}: label {label} tells good answers from bad ones, and here every answer is learned; keep the "
                f"good rows, or use TRL's KTOTrainer with a QwthnConfig; --{KEY}.label '' leaves the column out"
            )
        return form
    for each in formats:
        if {*each.needs} <= row.keys():
            blank = [name for name in each.needs if is_blank(row[name])]
            raise RowError(where, f"nothing stands in {' and '.join(blank)}")
    raise RowError(
        where,
        f"the format is not known; its columns are {_names(row)}; known are {known()}; name yours by "
        f"--{KEY}.prompt NAME --{KEY}.response NAME",
    )


def to_conversation(row: Row, where: str, form: Format | None = None) -> Conversation:
    """Return a row as a conversation up to its last answer; its group is the column, else a hash of prompt or text."""

    def text(name: str) -> str:
        return "" if name not in row or is_blank(row[name]) else plain_text(row[name], name, where)

    form = form or format_of(row, where)
    if form.needs == ("text",):
        messages = [Message(TEXT, plain_text(row["text"], "text", where))]
        return Conversation(tuple(messages), text("group") or default_group(messages), where=where)
    messages = _messages(row, form, where)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not messages:
        raise RowError(where, "there is no answer to learn from")
    first = next(place for place, message in enumerate(messages) if message.role == "assistant")
    if not any(message.content.strip() for message in messages[:first]):
        raise RowError(where, "nothing stands before the answer that asks for it; put a system message there")
    system = text("system")
    if system and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    elif system and messages[0].content.split() != system.split():
        what = f"its column system and its system message differ; drop the column by --{KEY}.system ''"
        raise RowError(where, what)
    messages[-1] = messages[-1]._replace(content=with_thought(text(THOUGHT_COLUMN), messages[-1].content))
    # MetaMathQA rewrites each question in several ways
    original = text("original_question")
    group = text("group") or default_group([Message("user", original)] if original else messages)
    tools = row.get("tools") if "tools" in form.more else None
    return Conversation(tuple(messages), group, "" if is_blank(tools) else read_tools(tools, where), where)


def _messages(row: Row, form: Format, where: str) -> list[Message]:
    asks = row.get(form.needs[0])
    if len(form.needs) == 1:
        return read_turns(asks, where)
    messages: list[Message] = []
    history = row.get("history") if "history" in form.more else None
    for pair in () if is_blank(history) else parsed_list(history, "history", where):
        if not is_list(pair) or len(pair) != 2:
            raise RowError(where, "an entry of history is not a pair of question and answer")
        question, answer = (plain_text(part, "an entry of history", where) for part in pair)
        messages += [Message("user", question), Message("assistant", answer)]
    if is_list(asks):
        messages += read_turns(asks, where)
    else:
        names = [form.needs[0], *(each for each in ("input", "context") if each in form.more)]
        parts = [plain_text(row[each], each, where) for each in names if not is_blank(row.get(each))]
        messages.append(Message("user", "\n\n".join(parts)))
    name = form.needs[1]
    if is_list(row[name]):
        return messages + read_turns(row[name], where)
    return [*messages, Message("assistant", plain_text(row[name], name, where))]


def unread_of(row: Row, form: Format) -> list[str]:
    """Return the columns of a row that hold something and are not read."""
    return [str(name) for name, value in row.items() if name not in form.columns and not is_blank(value)]


def is_blank(value: object) -> bool:
    """Return whether a value is nothing: `None`, white space, an empty list or object, or NaN for a missing one."""
    return not value.strip() if isinstance(value, str) else value in (None, [], {}) or value != value


def _names(row: Row) -> str:
    return ", ".join(str(name)[:40] for name in [*row][:12]) or "none"
