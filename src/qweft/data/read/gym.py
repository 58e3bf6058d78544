"""Tasks of reasoning-gym: their generated questions, worked answers and verifiers."""

import re
from collections.abc import Iterator
from typing import Any

from qweft.core.errors import QweftError

GYM = "embedded:reasoning_gym:"
GSM_SYMBOLIC = "embedded:gsm_symbolic"
SEED = 1
"""Seed of the generators, so that all runs see the same rows."""
ENTRIES = 2000
"""Entries of a task, with those that are left out later."""

NUMBER = r"[$€£]?(\d[\d,]*(?:\.\d+)?)"
# "a op b = c" of plain numbers that is not part of a longer expression: no operator, digit or unit sign before it, no
# percent sign, fraction or further digit after it.
STEP = re.compile(
    rf"(?<![\w.,%$€£)/*+×÷=-])(?<![x*+/×÷(=-]\s){NUMBER}\s*([-+*/×÷])\s*{NUMBER}\s*=\s*{NUMBER}(?![\d.,]*[\d/%])"
)
FINAL_ANSWER = re.compile(r"####\s*(-?[\d,]+(?:\.\d+)?)\s*$")
WHOLE_NUMBER_AS_FLOAT = re.compile(r"(?<=\d)\.0+(?!\d)")
"""The end of "14.0", which becomes "14"."""


def gym_task(source: str) -> str | None:
    """Return the reasoning-gym task of a data source; `None` for other sources."""
    if source == GSM_SYMBOLIC:
        return "gsm_symbolic"
    if not source.startswith(GYM):
        return None
    return source.removeprefix(GYM) or None


def gym_dataset(task: str) -> Any:
    """Return the reasoning-gym data set of a task, with seed `SEED` and size `ENTRIES`."""
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(task, seed=SEED, size=ENTRIES)
    except (AssertionError, ValueError) as fault:  # "composite" combines other tasks, and none are given here
        raise QweftError(f"data {GYM}{task}: cannot be made ({fault}); give another task") from fault


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
        raise QweftError(f"data {GYM}{task}: no entry has an answer, only a verifier; give another task")


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
