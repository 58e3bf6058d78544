"""Conversion of a row to a conversation."""

from qweft.data.conversation import TEXT, Conversation, Message, default_group
from qweft.data.formats import KEY, THOUGHT_COLUMN, Format, find_format
from qweft.data.messages import add_thought, read_messages
from qweft.data.row import Row, RowError, is_blank, is_list, read_list, read_text
from qweft.data.tool_calls import read_tools


def to_conversation(row: Row, where: str, form: Format | None = None) -> Conversation:
    """Return a row as a conversation up to its last answer; its group is the column, else a hash of the prompt."""
    if form is None:
        form = find_format(row, where)
    if form.is_text:
        text = Message(TEXT, read_text(row["text"], "text", where))
        group = _read_column(row, "group", where) or default_group([text])
        return Conversation((text,), group, where=where)
    messages = _up_to_last_answer(_read_all_messages(row, form, where), where)
    messages = _add_system(messages, _read_column(row, "system", where), where)
    # some data sets have the chain of thought of the last answer in a column of its own
    answer = messages.pop()
    thought = _read_column(row, THOUGHT_COLUMN, where)
    messages.append(answer._replace(content=add_thought(thought, answer.content)))
    group = _group_of(row, messages, where)
    return Conversation(tuple(messages), group, _tools_of(row, form, where), where)


def _read_column(row: Row, column: str, where: str) -> str:
    """Return the text of a column; empty where the row has none."""
    if is_blank(row.get(column)):
        return ""
    return read_text(row[column], column, where)


def _read_all_messages(row: Row, form: Format, where: str) -> list[Message]:
    """Return the messages of a row: its list of them, or its question and answer after earlier pairs."""
    if len(form.required) == 1:
        return read_messages(row.get(form.question), where)
    messages: list[Message] = []
    if "history" in form.optional:
        messages += _read_history(row, where)
    messages += _read_question(row, form, where)
    answer = form.required[1]
    if is_list(row[answer]):
        messages += read_messages(row[answer], where)
    else:
        messages.append(Message("assistant", read_text(row[answer], answer, where)))
    return messages


def _read_history(row: Row, where: str) -> list[Message]:
    """Return the earlier pairs of question and answer, as Alpaca's `history` has them."""
    history = row.get("history")
    if is_blank(history):
        return []
    messages: list[Message] = []
    for pair in read_list(history, "history", where):
        if not is_list(pair) or len(pair) != 2:
            raise RowError(where, "an entry of history is not a pair of question and answer")
        question, answer = (read_text(part, "an entry of history", where) for part in pair)
        messages += [Message("user", question), Message("assistant", answer)]
    return messages


def _read_question(row: Row, form: Format, where: str) -> list[Message]:
    """Return what asks: a list of messages, or a text with its `input` and `context` as paragraphs after it."""
    question = row.get(form.question)
    if is_list(question):
        return read_messages(question, where)
    columns = [form.question]
    columns += [column for column in ("input", "context") if column in form.optional]
    parts = [_read_column(row, column, where) for column in columns]
    text = "\n\n".join(part for part in parts if part)
    return [Message("user", text)]


def _up_to_last_answer(messages: list[Message], where: str) -> list[Message]:
    """Return the messages without those after the last answer; raise if nothing is asked or answered."""
    answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        raise RowError(where, "there is no answer to learn from")
    before = messages[: answers[0]]
    if not any(message.content.strip() for message in before):
        raise RowError(where, "nothing stands before the answer that asks for it; put a system message there")
    # what is asked after it has no answer to learn
    return messages[: answers[-1] + 1]


def _add_system(messages: list[Message], system: str, where: str) -> list[Message]:
    """Return the messages with the text of the column `system` first, unless it stands there already."""
    if not system:
        return messages
    first = messages[0]
    if first.role != "system":
        return [Message("system", system), *messages]
    # which of two texts holds cannot be known
    if first.content.split() != system.split():
        raise RowError(where, f"its column system and its system message differ; drop the column by --{KEY}.system ''")
    return messages


def _group_of(row: Row, messages: list[Message], where: str) -> str:
    """Return the group of a row: its column, else a hash of the question that it is made of, else of the prompt."""
    original = _read_column(row, "original_question", where)  # MetaMathQA rewrites each question in several ways
    group = _read_column(row, "group", where)
    if group:
        return group
    return default_group([Message("user", original)] if original else messages)


def _tools_of(row: Row, form: Format, where: str) -> str:
    """Return the tools of a row as JSON; empty without any."""
    tools = row.get("tools")
    if "tools" not in form.optional or is_blank(tools):
        return ""
    return read_tools(tools, where)
