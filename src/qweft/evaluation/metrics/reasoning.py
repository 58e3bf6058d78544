"""Metric of worked solutions: shares of rows with the right final answer and a complete chain of thought."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qweft.data.conversation import Conversation
from qweft.errors import QweftError, giving_up_after
from qweft.evaluation.metric import AnswerMetric, Both
from qweft.evaluation.reasoning import Reasoned, judge_reasoning, take_apart
from qweft.evaluation.scores import Compared, compare_means
from qweft.text import many

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
    judged: list[tuple[Reasoned | None, ...]] = []
    slow = 0
    for pair in both.pairs:
        try:
            judged.append(tuple(map(_judge, pair)))
        except QweftError:  # one row shall not cost the answers to all others
            judged.append((None, None))
            slow += 1
    rows = [
        {"base": asdict(base), "adapted": asdict(adapted)} if base is not None and adapted is not None else None
        for base, adapted in judged
    ]
    return _compare(judged, slow), rows


def _check_rows(references: Sequence[str]) -> None:
    for reference in references:
        with suppress(QweftError), giving_up_after(PATIENCE, "too slow"):
            if take_apart(reference).answer is not None:
                return
    raise _unanswered(len(references))


def _unanswered(rows: int) -> QweftError:
    return QweftError(
        f"evaluation.metrics reasoning: none of the {rows} answers on record ends in a final answer that could be "
        f"compared (#### 42, \\boxed{{42}}, the answer is 42, or a number), found within {PATIENCE:g} s"
    )


def _judge(answer: "Answer") -> Reasoned | None:
    with giving_up_after(PATIENCE, "too slow"):
        return judge_reasoning(answer.reference, answer.generated, answer.is_cut, answer.in_thought)


def _compare(judged: Sequence[tuple[Reasoned | None, ...]], slow: int) -> list[Compared]:
    usable = [(base, adapted) for base, adapted in judged if base is not None and adapted is not None]
    if not usable:
        raise _unanswered(len(judged))
    left_out = len(judged) - len(usable) - slow
    notes = [f"{left_out} rows whose answer on record has no final answer are left out"] if left_out else []
    if slow:
        notes.append(f"{many(slow, 'row')} left out, whose final answer takes longer than {PATIENCE:g} s to find")
    return [
        compare_means(
            name,
            [100.0 * getattr(pair[0], field) for pair in usable],
            [100.0 * getattr(pair[1], field) for pair in usable],
            unit="%",
            note="; ".join(notes),
        )
        for name, field in SHARES.items()
    ]


METRIC = AnswerMetric(_score, check_rows=_check_rows)
