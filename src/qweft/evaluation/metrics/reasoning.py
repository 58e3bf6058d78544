"""Metric of worked solutions: shares of rows with the right final answer and a complete chain of thought."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qweft.data.conversation import Conversation
from qweft.errors import QweftError
from qweft.evaluation.metric import AnswerMetric, Both
from qweft.evaluation.reasoning import Reasoned, judge_reasoning, take_apart
from qweft.evaluation.scores import Compared, compare_means

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer

SHARES = {
    "strict accuracy": "is_strict",
    "accuracy": "is_accurate",
    "chain-of-thought completeness": "has_whole_chain",
    "answer completeness": "has_whole_answer",
}
"""Names in tables, and the field of `Reasoned` whose share they are."""


def _score(source: str, conversations: Sequence[Conversation], both: Both) -> tuple[list[Compared], list[Any]]:
    judged = [(_judge(base), _judge(adapted)) for base, adapted in both.pairs]
    rows = [
        {"base": asdict(base), "adapted": asdict(adapted)} if base is not None and adapted is not None else None
        for base, adapted in judged
    ]
    usable = [(base, adapted) for base, adapted in judged if base is not None and adapted is not None]
    if not usable:
        raise _unanswered(len(judged))
    left_out = len(judged) - len(usable)
    note = f"{left_out} rows whose answer on record has no final answer are left out" if left_out else ""
    scores = []
    for name, field in SHARES.items():
        base, adapted = ([100.0 * getattr(pair[which], field) for pair in usable] for which in (0, 1))
        scores.append(compare_means(name, base, adapted, unit="%", note=note))
    return scores, rows


def _judge(answer: "Answer") -> Reasoned | None:
    return judge_reasoning(answer.reference, answer.generated, answer.is_cut, answer.in_thought)


def _check_rows(references: Sequence[str]) -> None:
    if all(take_apart(reference).answer is None for reference in references):
        raise _unanswered(len(references))


def _unanswered(rows: int) -> QweftError:
    return QweftError(
        f"evaluation.metrics reasoning: none of the {rows} answers on record ends in a final answer that could be "
        "compared (#### 42, \\boxed{42}, the answer is 42, or a number)"
    )


METRIC = AnswerMetric(_score, check_rows=_check_rows)
