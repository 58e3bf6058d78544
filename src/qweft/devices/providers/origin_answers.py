"""What the words of pyqpanda3 and of Origin's cloud mean for a job."""

import re

from qweft.devices.providers.fate import Fate, Step

CLIENTS_OWN = (
    "curl_",
    "value is not",
    "the document",
    "invalid value",
    "invalid encoding",
    "invalid escape",
    "unspecific syntax",
    "terminate parsing",
    "surrogate pair",
    "hex digit",
    "number too big",
    "miss fraction",
    "miss exponent",
    "missing a",
    "response",
    "obj is null",
    "job_id is null",
    "task_id is null",
    "taskstate",
)
"""In what pyqpanda3 0.5 itself says when the cloud was not reached, or sent something else than an answer."""
TRY_AGAIN = {"408", "425"}
"""Codes of HTTP that begin with 4 and do not mean that the request is wrong."""
NOT_REACHED = re.compile(r"(failed to|could ?n[o']t) connect|could ?n[o']t resolve", re.IGNORECASE)
"""In what curl says when nothing has left this machine."""
LATER = ("busy", "maintenance", "too many", "later", "offline", "繁忙", "维护", "稍后")
"""In what the cloud says when it would take the same job at another time."""
TIMED_OUT = ("timeout", "timed out", "time out", "超时")
"""In what the cloud says when it does not know itself what became of the job."""
NO = (
    "unknown error.",  # pyqpanda3's word for success: false without a reason
    "insufficient",
    "permission",
    "not allowed",
    "denied",
    "unauthorized",
    "forbidden",
    "expired",
    "exceed",
    "quota",
    "balance",
    "not support",
    "not exist",
    "not found",
    "illegal",
    "invalid api",
    "invalid key",
    "invalid token",
    "invalid param",
)
"""In what the cloud says when it takes no such job."""


def fate_of(text: str, step: Step) -> Fate:
    """What pyqpanda3's words say of a request.

    pyqpanda3 raises the same for what the cloud says and for what it cannot read itself. So of a job that is being sent
    only what is known for a refusal is one: a job that is held for refused is sent, and paid, again.

    Args:
        text: What it said.
        step: What was being done.
    """
    code, words = re.search(r"failed with status (\d{3})", text), text.lower()
    if code is not None:
        if code[1] == "429":
            return Fate.LATER
        return Fate.REFUSED if code[1][0] == "4" and code[1] not in TRY_AGAIN else Fate.UNKNOWN
    if "curl_" in words and NOT_REACHED.search(text):
        return Fate.LATER
    if any(word in words for word in CLIENTS_OWN + TIMED_OUT):
        return Fate.UNKNOWN
    if any(word in words for word in LATER):
        return Fate.LATER
    from_the_cloud = any(word in words for word in NO) or not text.isascii()  # pyqpanda3 itself writes English
    return Fate.REFUSED if from_the_cloud or step is not Step.SENDING else Fate.UNKNOWN
