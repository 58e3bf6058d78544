"""Embedded data sets from Python packages: dialogues, and generated tasks with their verifiers."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from itertools import cycle, groupby
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from qweft.core.errors import QweftError
from qweft.models.packages import installed_file

_NUMBER = r"[$€£]?(\d[\d,]*(?:\.\d+)?)"
# "a op b = c" of plain numbers that is not part of a longer expression: no operator, digit or unit sign before it, no
# percent sign, fraction or further digit after it.
_STEP = re.compile(
    rf"(?<![\w.,%$€£)/*+×÷=-])(?<![x*+/×÷(=-]\s){_NUMBER}\s*([-+*/×÷])\s*{_NUMBER}\s*=\s*{_NUMBER}(?![\d.,]*[\d/%])"
)
_LAST = re.compile(r"####\s*(-?[\d,]+(?:\.\d+)?)\s*$")

PREFIX = "reasoning_gym:"
SEED, GENERATED = 1, 2000
"""Seed of the generators, so that all runs see the same rows, and their entries a task, with those left out later."""
WINDOW = 6
"""Maximum length of a window of a chitchat conversation, in turns."""
SETTING = "Small talk between two people."
"""System message of all chitchat rows, in place of the chat template's longer default."""


def _has_false_step(text: str) -> bool:
    """Return whether the result of any "a op b = c" of two plain numbers is off by more than 0.01."""
    for one, sign, other, given in _STEP.findall(text):
        left, right, result = (float(number.replace(",", "")) for number in (one, other, given))
        if sign in "/÷":
            value = left / right if right else float("inf")
        else:
            value = {"+": left + right, "-": left - right}.get(sign, left * right)
        if abs(value - result) > 0.01:
            return True
    return False


def gym_task(source: str) -> str | None:
    """Return the reasoning-gym task of a data source; `None` for other sources."""
    before, _, task = source.partition(f"embedded:{PREFIX}")
    return "gsm_symbolic" if source == "embedded:gsm_symbolic" else task if task and not before else None


def check_embedded(source: str) -> None:
    """Raise if an embedded data set is not known, or its package is not installed."""
    is_task = gym_task(source) is not None
    if not is_task and source.removeprefix("embedded:") not in EMBEDDED_DATA:
        names = ", ".join(f"embedded:{name}" for name in ABOUT)
        raise QweftError(f"data {source}: unknown; there are {names}")
    package = "reasoning-gym" if is_task else "chitchat-dataset"
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        raise QweftError(f"data {source}: pip install '.[embedded]' for {package}, or give --data.source FILE")


def gym_dataset(task: str) -> Any:
    """Return the reasoning-gym data set of a task, with seed `SEED` and size `GENERATED`."""
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(task, seed=SEED, size=GENERATED)
    except (AssertionError, ValueError) as fault:  # "composite" combines other tasks, and none are given here
        raise QweftError(f"data embedded:{PREFIX}{task}: cannot be made ({fault}); give another task") from fault


def gym_rows(task: str) -> Iterator[dict[str, Any]]:
    """Yield the questions and answers of a task, each question once; raise if it has no text answers."""
    seen: set[str] = set()
    for entry in gym_dataset(task):
        question, answer = entry["question"], entry["answer"]
        if isinstance(answer, str) and answer.strip() and question not in seen:
            seen.add(question)
            yield {"question": question, "answer": answer}
    if not seen:
        raise QweftError(f"data embedded:{PREFIX}{task}: no entry has an answer, only a verifier; give another task")


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


def embedded_rows(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of an embedded data set: "gsm_symbolic", "chitchat", or "reasoning_gym:TASK"."""
    rows = EMBEDDED_DATA[name]() if name in EMBEDDED_DATA else gym_rows(name.removeprefix(PREFIX))
    yield from ((f"embedded:{name}, row {number}", row) for number, row in enumerate(rows, 1))


def gsm_symbolic() -> Iterator[dict[str, Any]]:
    """Yield word problems with worked answers, without those with a false step."""
    seen: set[str] = set()
    for made in gym_dataset("gsm_symbolic"):
        question = made["question"]
        worked = re.sub(r"(?<=\d)\.0+(?!\d)", "", made["metadata"]["answer_cot"])  # "14.0" becomes "14"
        end = _LAST.search(worked)
        if question in seen or end is None or end[1].replace(",", "") != made["answer"] or _has_false_step(worked):
            continue
        seen.add(question)
        names = "+".join(sorted(made["metadata"]["variables"]))
        yield {"question": question, "answer": worked, "group": f"{made['metadata']['difficulty']:g}:{names}"}


def chitchat() -> Iterator[dict[str, Any]]:
    """Yield windows of conversations between two people."""
    # Read the file directly: all that importing the package would give is its path.
    path = installed_file("chitchat_dataset", "dataset.json")
    assert path is not None  # `check_embedded` comes first
    for name, conversation in from_json(path.read_bytes(), cache_strings="keys").items():
        messages = [message for block in conversation["messages"] for message in block if message["text"].strip()]
        runs = [[*run] for _, run in groupby(messages, key=itemgetter("sender"))]
        texts = ["\n".join(message["text"].strip() for message in run) for run in runs]
        if len({message["sender"] for message in messages}) == 2:
            roles = cycle(("user", "assistant"))
            turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
            for start in range(0, len(turns) - 1, WINDOW):
                window = turns[start : start + WINDOW]
                yield {"system": SETTING, "messages": window[: len(window) // 2 * 2], "group": name}


ABOUT = {
    "gsm_symbolic": "grade-school word problems with worked answers, made by reasoning-gym of 85 templates",
    "chitchat": "windows of 7,168 human-human conversations (chitchat-dataset)",
    f"{PREFIX}TASK": "any task of reasoning-gym whose entries have a text answer, with its verifier",
}
"""A line about each embedded data set."""
EMBEDDED_DATA: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {"gsm_symbolic": gsm_symbolic, "chitchat": chitchat}
