"""Metric of worked solutions: shares of rows with the right final answer and a complete chain of thought."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qweft.data.conversation import Conversation
from qweft.errors import QweftError, giving_up_after
from qweft.evaluation.metric import AnswerMetric, Both
from qweft.evaluation.reasoning import Reasoned, judge_reasoning
from qweft.evaluation.scores import Compared, compare_means
from qweft.text import shown

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer

SHARES = {
    "strict accuracy": "is_strict",
    "accuracy": "is_accurate",
    "chain-of-thought completeness": "has_whole_chain",
    "answer completeness": "has_whole_answer",
}
"""Names in tables, and the field of `Reasoned` whose share they are."""

PATIENCE = 5.0
"""Maximum seconds for an answer; a millisecond is usual, but a row may repeat a mark a hundred thousand times."""


def _score(source: str, conversations: Sequence[Conversation], both: Both) -> tuple[list[Compared], list[Any]]:
    judged = [tuple(map(_judge, pair)) for pair in both.pairs]
    rows = [
        {"base": asdict(base), "adapted": asdict(adapted)} if base is not None and adapted is not None else None
        for base, adapted in judged
    ]
    return _compare(judged), rows


def _judge(answer: "Answer") -> Reasoned | None:
    sentence = (
        f"evaluation.metrics reasoning: it takes longer than {PATIENCE:g} s to find the final answer of the row that "
        f"asks {shown(answer.prompt[:60])}; leave out that row or that metric"
    )
    with giving_up_after(PATIENCE, sentence):
        return judge_reasoning(answer.reference, answer.generated, answer.is_cut, answer.in_thought)


def _compare(judged: Sequence[tuple[Reasoned | None, ...]]) -> list[Compared]:
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
        for name, field in SHARES.items()
    ]


METRIC = AnswerMetric(_score)
