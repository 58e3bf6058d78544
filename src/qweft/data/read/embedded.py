"""Embedded data sets from Python packages: dialogues, and generated tasks with their verifiers."""

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, groupby
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from qweft.core.errors import QweftError
from qweft.models.packages import installed_file

EMBEDDED = "embedded:"
GYM = "reasoning_gym:"
EMBEDDED_TITLES = {
    "gsm_symbolic": "grade-school word problems with worked answers, made by reasoning-gym of 85 templates",
    "chitchat": "windows of 7,168 human-human conversations (chitchat-dataset)",
    f"{GYM}TASK": "any task of reasoning-gym whose entries have a text answer, with its verifier",
}
"""A line about each embedded data set."""

GYM_SEED = 1
"""Seed of the generators, so that all runs see the same rows."""
GYM_ENTRIES = 2000
"""Entries of a task, with those that are left out later."""
WINDOW = 6
"""Maximum length of a window of a chitchat conversation, in turns."""
CHITCHAT_SYSTEM = "Small talk between two people."
"""System message of all chitchat rows, in place of the chat template's longer default."""

NUMBER = r"[$€£]?(\d[\d,]*(?:\.\d+)?)"
# "a op b = c" of plain numbers that is not part of a longer expression: no operator, digit or unit sign before it, no
# percent sign, fraction or further digit after it.
STEP = re.compile(
    rf"(?<![\w.,%$€£)/*+×÷=-])(?<![x*+/×÷(=-]\s){NUMBER}\s*([-+*/×÷])\s*{NUMBER}\s*=\s*{NUMBER}(?![\d.,]*[\d/%])"
)
FINAL_ANSWER = re.compile(r"####\s*(-?[\d,]+(?:\.\d+)?)\s*$")
WHOLE_NUMBER_AS_FLOAT = re.compile(r"(?<=\d)\.0+(?!\d)")
"""The end of "14.0", which becomes "14"."""


def check_embedded(source: str) -> None:
    """Raise if an embedded data set is not known, or its package is not installed."""
    is_task = gym_task(source) is not None
    if not is_task and source.removeprefix(EMBEDDED) not in EMBEDDED_DATA:
        names = ", ".join(f"{EMBEDDED}{name}" for name in EMBEDDED_TITLES)
        raise QweftError(f"data {source}: unknown; there are {names}")
    package = "reasoning-gym" if is_task else "chitchat-dataset"
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        raise QweftError(f"data {source}: pip install '.[embedded]' for {package}, or give --data.source FILE")


def embedded_rows(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of "embedded:gsm_symbolic", "embedded:chitchat", or "embedded:reasoning_gym:TASK"."""
    name = source.removeprefix(EMBEDDED)
    if name in EMBEDDED_DATA:
        rows = EMBEDDED_DATA[name]()
    else:
        rows = gym_rows(name.removeprefix(GYM))
    for number, row in enumerate(rows, 1):
        yield f"{source}, row {number}", row


def gym_task(source: str) -> str | None:
    """Return the reasoning-gym task of a data source; `None` for other sources."""
    if source == f"{EMBEDDED}gsm_symbolic":
        return "gsm_symbolic"
    prefix = EMBEDDED + GYM
    if not source.startswith(prefix):
        return None
    return source.removeprefix(prefix) or None


def gym_dataset(task: str) -> Any:
    """Return the reasoning-gym data set of a task, with seed `GYM_SEED` and size `GYM_ENTRIES`."""
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(task, seed=GYM_SEED, size=GYM_ENTRIES)
    except (AssertionError, ValueError) as fault:  # "composite" combines other tasks, and none are given here
        raise QweftError(f"data {EMBEDDED}{GYM}{task}: cannot be made ({fault}); give another task") from fault


def gym_rows(task: str) -> Iterator[dict[str, Any]]:
    """Yield the questions and answers of a task, each question once; raise if it has no text answers."""
    seen: set[str] = set()
    for entry in gym_dataset(task):
        question = entry["question"]
        answer = entry["answer"]
        has_answer = isinstance(answer, str) and answer.strip()
        if has_answer and question not in seen:
            seen.add(question)
            yield {"question": question, "answer": answer}
    if not seen:
        raise QweftError(f"data {EMBEDDED}{GYM}{task}: no entry has an answer, only a verifier; give another task")


class Verifier:
    """Scores answers to some questions with the verifier of a reasoning-gym task."""

    def __init__(self, task: str, questions: set[str]) -> None:
        self._dataset = gym_dataset(task)
        self._entries: dict[str, Any] = {}
        for entry in self._dataset:
            self._entries.setdefault(entry["question"], entry)
        for missing in questions - self._entries.keys():
            raise QweftError(f"no verifier of {task} knows the question {missing[:80]!r}; is it a row of that task?")

    def score(self, question: str, answer: str) -> float:
        """Return the score of the task's `score_answer`, from 0 to 1; 0 if it raises."""
        try:
            return float(self._dataset.score_answer(answer, self._entries[question]))
        except Exception:  # verifiers parse model output, and some raise on nonsense
            return 0.0


def gsm_symbolic() -> Iterator[dict[str, Any]]:
    """Yield word problems with worked answers, without those with a false step; a group is a template."""
    seen: set[str] = set()
    for entry in gym_dataset("gsm_symbolic"):
        question = entry["question"]
        worked = WHOLE_NUMBER_AS_FLOAT.sub("", entry["metadata"]["answer_cot"])
        if question in seen or not _is_right(worked, entry["answer"]):
            continue
        seen.add(question)
        variables = "+".join(sorted(entry["metadata"]["variables"]))
        difficulty = f"{entry['metadata']['difficulty']:g}"
        yield {"question": question, "answer": worked, "group": f"{difficulty}:{variables}"}


def _is_right(worked: str, answer: str) -> bool:
    """Return whether a worked answer ends with the answer, and no step of it is false; some generated ones are."""
    final = FINAL_ANSWER.search(worked)
    if final is None or final[1].replace(",", "") != answer:
        return False
    return not _has_false_step(worked)


def _has_false_step(text: str) -> bool:
    """Return whether the result of any "a op b = c" of two plain numbers is off by more than 0.01."""
    for step in STEP.findall(text):
        left, sign, right, result = step
        value = _calculate(_to_number(left), sign, _to_number(right))
        if abs(value - _to_number(result)) > 0.01:
            return True
    return False


def _calculate(left: float, sign: str, right: float) -> float:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign in "/÷":
        return left / right if right else float("inf")
    return left * right


def _to_number(text: str) -> float:
    return float(text.replace(",", ""))


def chitchat() -> Iterator[dict[str, Any]]:
    """Yield windows of conversations between two people; a group is a conversation."""
    # Read the file directly: all that importing the package would give is its path.
    path = installed_file("chitchat_dataset", "dataset.json")
    assert path is not None  # `check_embedded` comes first
    for name, conversation in from_json(path.read_bytes(), cache_strings="keys").items():
        turns = _chitchat_turns(conversation["messages"])
        for start in range(0, len(turns) - 1, WINDOW):
            window = turns[start : start + WINDOW]
            pairs = len(window) // 2
            yield {"system": CHITCHAT_SYSTEM, "messages": window[: 2 * pairs], "group": name}


def _chitchat_turns(blocks: Sequence[Sequence[dict[str, str]]]) -> list[dict[str, str]]:
    """Return the turns of a conversation, the first speaker as the user; none unless there are two speakers."""
    messages: list[dict[str, str]] = []
    for block in blocks:
        messages += [message for message in block if message["text"].strip()]
    if len({message["sender"] for message in messages}) != 2:
        return []
    turns: list[dict[str, str]] = []
    roles = cycle(("user", "assistant"))
    for _, run in groupby(messages, key=itemgetter("sender")):  # several messages in a row are one turn
        text = "\n".join(message["text"].strip() for message in run)
        turns.append({"role": next(roles), "content": text})
    return turns


EMBEDDED_DATA: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {"gsm_symbolic": gsm_symbolic, "chitchat": chitchat}
