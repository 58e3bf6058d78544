"""Scoring of worked solutions: the final answer, and completeness of chain of thought and answer."""

import re
from dataclasses import dataclass

from qweft.evaluation.final_answer import FinalAnswer, final_answers, plain

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
    def mark(self) -> str:
        """The mark of the last answer; empty if it has no mark or there is no answer."""
        return self.answer.mark if self.answer else ""

    @property
    def steps(self) -> int:
        """Number of lines and sentences of the chain that contain a letter or a digit."""
        parts = re.split(r"\n|(?<=[.!?])\s|(?<=[。！？；])", self.chain)
        return sum(re.search(r"[^\W_]", part) is not None for part in parts)


@dataclass(frozen=True)
class Reasoned:
    """Scores of one answer: of its value, form and chain of thought, and the text of its final answer.

    A strict answer has the reference's mark too, with the value alone after ####. A whole chain has at least one step
    and, without a thought, a final answer ends it. Only an answer that was not cut can be strict or complete. If it or
    the reference has a thought, its own must be closed.
    """

    is_accurate: bool
    is_strict: bool
    has_whole_chain: bool
    has_whole_answer: bool
    found: str | None


def with_its_thought(text: str, opened: bool = False) -> str:
    """Return a solution with the opening of its thought, and without a thought in which nothing stands."""
    if opened and not text.lstrip().startswith(OPENS):
        text = OPENS + text
    return re.sub(rf"^\s*{OPENS}\s*{CLOSES}\s*", "", text)


def take_apart(text: str, opened: bool = False) -> Solution:
    """Split a solution into its chain of thought and its final answers."""
    if opened and not text.lstrip().startswith(OPENS):
        text = OPENS + text
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
    """Score a generated solution against the reference."""
    asked = take_apart(reference)
    got = take_apart(generated, opened) if asked.has_thought else take_apart(with_its_thought(generated, opened))
    if asked.answer is None:
        return None
    is_accurate = got.answer is not None and asked.answer.is_same(got.answer)
    is_closed = got.has_thought and not got.is_open if asked.has_thought or got.has_thought else True
    ends = got.answer is not None and bool(got.mark or not asked.mark)
    in_form = asked.mark in got.answers if asked.mark else got.answer is not None
    return Reasoned(
        is_accurate=is_accurate,
        is_strict=is_accurate
        and is_closed
        and not is_cut
        and in_form
        and (not asked.mark or asked.answer.is_same(got.answers[asked.mark], is_strict=True)),
        has_whole_chain=not is_cut and is_closed and got.steps > 0 and (got.has_thought or ends),
        has_whole_answer=not is_cut and is_closed and ends,
        found=got.answer.text if got.answer else None,
    )
