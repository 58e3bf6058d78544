"""Metric that scores answers by the verifier of a reasoning-gym task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation
from qweft.data.read.gym import Verifier, gym_task
from qweft.evaluation.final_answer import marked_text
from qweft.evaluation.metrics import AnswerMetric
from qweft.evaluation.metrics.reasoning import take_apart
from qweft.evaluation.scores import Compared, compare_means

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer


def _check(source: str) -> None:
    if gym_task(source) is None:
        raise QweftError(f"evaluation.metrics verifier: data {source} has none; embedded:reasoning_gym:TASK has one")


def _score(
    source: str, conversations: Sequence[Conversation], base: Sequence["Answer"], adapted: Sequence["Answer"]
) -> tuple[list[Compared], list[Any]]:
    task = gym_task(source)
    assert task is not None  # by `_check`
    questions = [conversation.prompt[-1].content for conversation in conversations]
    verifier = Verifier(task, set(questions))
    one, other = (
        [verifier.score(question, answer_alone(answer)) for question, answer in zip(questions, answers, strict=True)]
        for answers in (base, adapted)
    )
    solved, solved_adapted = ([100.0 * (score >= 1) for score in scores] for scores in (one, other))
    compared = [
        compare_means("solved", solved, solved_adapted, unit="%", note="rows to which the task's verifier gives 1"),
        compare_means("verifier's score", one, other, note="from 0 to 1"),
    ]
    return compared, [{"base": theirs, "adapted": mine} for theirs, mine in zip(one, other, strict=True)]


def answer_alone(answer: "Answer") -> str:
    """Return what a verifier scores: the marked answer, else the whole reply or the last number."""
    solution = take_apart(answer.generated, answer.in_thought)
    if solution.is_open:
        return ""
    reply = answer.generated.rpartition("</think>")[2].strip()
    marked = marked_text(reply)
    if marked is not None:
        return marked
    if marked_text(answer.reference) is None:
        return reply
    return solution.answer.text if solution.answer else ""


METRIC = AnswerMetric(_score, _check)
