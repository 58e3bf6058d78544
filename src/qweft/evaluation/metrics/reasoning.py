"""Metric of worked solutions: shares of rows with the right final answer and a complete chain of thought."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation
from qweft.evaluation.final_answer import FinalAnswer, final_answers, plain
from qweft.evaluation.metrics import AnswerMetric
from qweft.evaluation.scores import Compared, compare_means

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer

OPENS, CLOSES = "<think>", "</think>"


@dataclass(frozen=True)
class Solution:
    """A solution, split into its chain of thought and its final answers."""

    chain: str
    has_thought: bool
    is_open: bool
    answers: dict[str, FinalAnswer]

    @property
    def answer(self) -> FinalAnswer | None:
        """The last answer; `None` without answers."""
        return list(self.answers.values())[-1] if self.answers else None

    @property
    def steps(self) -> int:
        """Number of lines and sentences of the chain that contain a letter or a digit."""
        parts = re.split(r"\n|(?<=[.!?])\s|(?<=[。！？；])", self.chain)
        return sum(re.search(r"[^\W_]", part) is not None for part in parts)


@dataclass(frozen=True)
class Reasoned:
    """Scores of one answer: of its value, form and chain of thought, and the text of its final answer."""

    is_accurate: bool
    is_strict: bool  # uncut, with the reference's mark too, and the value alone after ####
    has_whole_chain: bool  # uncut, with a step, and a closed thought or a final answer at its end
    has_whole_answer: bool
    found: str | None


SHARES = {
    "strict accuracy": "is_strict",
    "accuracy": "is_accurate",
    "chain-of-thought completeness": "has_whole_chain",
    "answer completeness": "has_whole_answer",
}
"""Names in tables, and the field of `Reasoned` whose share they are."""


def _opened(text: str, opened: bool) -> str:
    """Return a solution with the opening of its thought, which may stand in the prompt."""
    return OPENS + text if opened and not text.lstrip().startswith(OPENS) else text


def with_its_thought(text: str, opened: bool = False) -> str:
    """Return a solution with the opening of its thought, and without a thought in which nothing stands."""
    return re.sub(rf"^\s*{OPENS}\s*{CLOSES}\s*", "", _opened(text, opened))


def take_apart(text: str, opened: bool = False) -> Solution:
    """Split a solution into its chain of thought and its final answers."""
    text = _opened(text, opened)
    opens, closes = text.rfind(OPENS), text.rfind(CLOSES)
    if opens > closes:
        return Solution(text[opens + len(OPENS) :], True, True, {})
    if closes >= 0:
        chain = text[:closes].replace(OPENS, "").replace(CLOSES, "")
        return Solution(chain, True, False, final_answers(text[closes + len(CLOSES) :]))
    answers = final_answers(text)
    if not answers:
        return Solution(text, False, False, answers)
    # "The answer is \boxed{3}" has two marks; the chain ends before the first mark of the last line with one.
    same, last = plain(text), max(each.start for each in answers.values())
    line = same.rfind("\n", 0, last) + 1
    end = min(each.start for each in answers.values() if each.start >= line)
    return Solution(same[:end], False, False, answers)


def judge_reasoning(reference: str, generated: str, is_cut: bool, opened: bool = False) -> Reasoned | None:
    """Score a generated solution against the reference; `None` if that has no final answer."""
    asked = take_apart(reference)
    got = take_apart(generated, opened) if asked.has_thought else take_apart(with_its_thought(generated, opened))
    if asked.answer is None:
        return None
    mark, answer = asked.answer.mark, got.answer
    is_accurate = answer is not None and asked.answer.is_same(answer)
    is_closed = got.has_thought and not got.is_open if asked.has_thought or got.has_thought else True
    is_whole = not is_cut and is_closed
    ends = answer is not None and bool(answer.mark or not mark)
    in_form = not mark or (mark in got.answers and asked.answer.is_same(got.answers[mark], is_strict=True))
    return Reasoned(
        is_accurate=is_accurate,
        is_strict=is_accurate and is_whole and in_form,
        has_whole_chain=is_whole and got.steps > 0 and (got.has_thought or ends),
        has_whole_answer=is_whole and ends,
        found=answer.text if answer else None,
    )


def _score(
    source: str, conversations: Sequence[Conversation], base: Sequence["Answer"], adapted: Sequence["Answer"]
) -> tuple[list[Compared], list[Any]]:
    judged = [{"base": _judge(one), "adapted": _judge(other)} for one, other in zip(base, adapted, strict=True)]
    usable = [row for row in judged if None not in row.values()]
    if not usable:
        raise _unanswered(len(judged))
    left_out = len(judged) - len(usable)
    note = f"{left_out} rows whose answer on record has no final answer are left out" if left_out else ""
    scores = []
    for name, field in SHARES.items():
        one, other = ([100.0 * getattr(row[which], field) for row in usable] for which in ("base", "adapted"))
        scores.append(compare_means(name, one, other, unit="%", note=note))
    return scores, [
        None if None in row.values() else {which: asdict(found) for which, found in row.items() if found}
        for row in judged
    ]


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
