"""Generated answers scored: two models' answers to the same prompts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qweft.data.conversation import Conversation
from qweft.data.gym import Verifier, gym_task
from qweft.errors import QweftError
from qweft.evaluation.answers import Answer
from qweft.evaluation.config import Metric
from qweft.evaluation.final_answer import marked_text
from qweft.evaluation.reasoning import Reasoned, judge_reasoning, take_apart
from qweft.evaluation.scores import Compared, compare_means
from qweft.evaluation.text_overlap import compare_texts

REASONING = {
    "strict accuracy": "is_strict",
    "accuracy": "is_accurate",
    "chain-of-thought completeness": "has_whole_chain",
    "answer completeness": "has_whole_answer",
}
"""Names in tables, and what of a judged answer they are the share of."""


@dataclass(frozen=True)
class Both:
    """The answers of both models to the same prompts.

    Args:
        base: The base model's.
        adapted: The adapted model's.
    """

    base: Sequence[Answer]
    adapted: Sequence[Answer]

    @property
    def pairs(self) -> list[tuple[Answer, Answer]]:
        """By row: the base model's answer and the adapted one's."""
        return list(zip(self.base, self.adapted, strict=True))


@dataclass(frozen=True)
class AnswerScores:
    """What came of scoring.

    Args:
        scores: Each metric.
        rows: For each row what each metric that judges single rows found, by the metric's name.
    """

    scores: list[Compared]
    rows: list[dict[str, Any]]


def score_answers(
    metrics: Sequence[Metric], source: str, conversations: Sequence[Conversation], both: Both
) -> AnswerScores:
    """Score answers by the metrics that are asked for.

    Args:
        metrics: Their names.
        source: Of the data, whose verifier it may be.
        conversations: What was asked, with the answers on record.
        both: The answers.

    Raises:
        QweftError: A package is missing, or a metric has nothing to go by in these rows.
    """
    found: list[Compared] = []
    rows: list[dict[str, Any]] = [{} for _ in conversations]
    if "text" in metrics:
        texts = [[each.generated for each in answers] for answers in (both.base, both.adapted)]
        found += compare_texts([each.reference for each in both.base], *texts)
    if "reasoning" in metrics:
        judged = [tuple(map(_judge, pair)) for pair in both.pairs]
        found += _compare_reasoning(judged)
        for row, (base, adapted) in zip(rows, judged, strict=True):
            if base is not None and adapted is not None:
                row["reasoning"] = {"base": asdict(base), "adapted": asdict(adapted)}
    if "verifier" in metrics:
        scores = _verified(source, conversations, both)
        found += _compare_verified(scores)
        for row, (theirs, mine) in zip(rows, scores, strict=True):
            row["verifier"] = {"base": theirs, "adapted": mine}
    return AnswerScores(found, rows)


def _judge(answer: Answer) -> Reasoned | None:
    return judge_reasoning(answer.reference, answer.generated, answer.is_cut, answer.in_thought)


def _compare_reasoning(judged: Sequence[tuple[Reasoned | None, ...]]) -> list[Compared]:
    usable = [(base, adapted) for base, adapted in judged if base is not None and adapted is not None]
    if not usable:
        raise QweftError(
            f"evaluation.metrics reasoning: none of the {len(judged)} answers on record ends in a final answer that "
            "could be compared (#### 42, \\boxed{42}, the answer is 42, or a number)"
        )
    left_out = len(judged) - len(usable)
    note = f"{left_out} rows whose answer on record has no final answer are left out" if left_out else ""
    return [
        compare_means(
            name,
            [100.0 * getattr(pair[0], field) for pair in usable],
            [100.0 * getattr(pair[1], field) for pair in usable],
            unit="%",
            note=note,
        )
        for name, field in REASONING.items()
    ]


def _verified(source: str, conversations: Sequence[Conversation], both: Both) -> list[tuple[float, float]]:
    task = gym_task(source)
    if task is None:
        raise QweftError(f"evaluation.metrics verifier: data {source} has no verifier")
    questions = [conversation.prompt[-1].content for conversation in conversations]
    verifier = Verifier(task, set(questions))
    return [
        (verifier.score(question, answer_alone(base)), verifier.score(question, answer_alone(adapted)))
        for question, (base, adapted) in zip(questions, both.pairs, strict=True)
    ]


def _compare_verified(scores: Sequence[tuple[float, float]]) -> list[Compared]:
    solved = [[100.0 * (pair[which] >= 1) for pair in scores] for which in (0, 1)]
    return [
        compare_means("solved", solved[0], solved[1], unit="%", note="rows to which the task's verifier gives 1"),
        compare_means(
            "verifier's score", [pair[0] for pair in scores], [pair[1] for pair in scores], note="from 0 to 1"
        ),
    ]


def answer_alone(answer: Answer) -> str:
    """What a verifier is given: the marked answer, or the whole reply where the one on record has no mark either."""
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
