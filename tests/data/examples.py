"""Rows, files and conversations that several tests of the data use."""

import json

from qweft.data.conversation import Conversation, Message

TURNS = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
"""A question and its answer."""


def write_rows(path, rows):
    """A jsonl file of rows; return its name, as `data.source` takes it."""
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def question_rows(name, count, first=0):
    """Rows that ask of a name and a number, each another question."""
    return [
        {"question": f"{name} {number}?", "answer": f"{name} says {number}"} for number in range(first, first + count)
    ]


def make_conversation(*texts, system=None, group="g"):
    """A conversation of texts by user and assistant in turn."""
    messages = []
    if system is not None:
        messages.append(Message("system", system))
    for number, text in enumerate(texts):
        role = "assistant" if number % 2 else "user"
        messages.append(Message(role, text))
    return Conversation(tuple(messages), group)


def last_questions(conversations):
    """What is asked last in each conversation."""
    return [conversation.prompt[-1].content for conversation in conversations]
