"""How a worked solution is judged: its final answer, and whether chain and answer are complete.

The definitions are in docs/evaluation.md. They are this project's own.
"""

import re
from dataclasses import dataclass

from qweft.evaluation.final_answer import FinalAnswer, final_answers, plain, same_value

OPENS, CLOSES = "<think>", "</think>"


@dataclass(frozen=True)
class Solution:
    """A text taken apart.

    Args:
        chain: What leads to the answer.
        has_thought: Whether the chain stands between <think> and </think>.
        is_open: Whether a thought is not closed; there is no answer then.
        answers: The final answers by their marks, the last one last; empty where there is none.
    """

    chain: str
    has_thought: bool
    is_open: bool
    answers: dict[str, FinalAnswer]

    @property
    def answer(self) -> FinalAnswer | None:
        """The last of the answers."""
        return list(self.answers.values())[-1] if self.answers else None

    @property
    def mark(self) -> str:
        """How the answer is marked; empty where it is not, or where there is none."""
        return self.answer.mark if self.answer else ""

    @property
    def steps(self) -> int:
        """Lines and sentences of the chain that hold a letter or a digit."""
        parts = re.split(r"\n|(?<=[.!?])\s|(?<=[。！？；])", self.chain)
        return sum(re.search(r"[^\W_]", part) is not None for part in parts)


@dataclass(frozen=True)
class Reasoned:
    """One answer judged.

    Args:
        is_accurate: The final answer has the reference's value.
        is_strict: That, in the form of the reference, and ended by the model itself.
        has_whole_chain: A chain with a step, closed, and ended by the model itself.
        has_whole_answer: A final answer after the chain, and ended by the model itself.
        found: The final answer; none where there is none.
    """

    is_accurate: bool
    is_strict: bool
    has_whole_chain: bool
    has_whole_answer: bool
    found: str | None


def take_apart(text: str, opened: bool = False) -> Solution:
    """A solution's chain and its final answers.

    Args:
        text: As it was written.
        opened: Whether the prompt ended inside a thought, so that the text begins in one.
    """
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
    # "The answer is \boxed{3}" is marked twice; the chain ends before the first mark of that line.
    same, last = plain(text), max(each.start for each in answers.values())
    line = same.rfind("\n", 0, last) + 1
    end = min(each.start for each in answers.values() if each.start >= line)
    return Solution(same[:end], False, False, answers)


def judge_reasoning(reference: str, generated: str, is_cut: bool, opened: bool = False) -> Reasoned | None:
    """An answer held against the one on record; none where that one has no final answer to compare.

    Args:
        reference: The solution on record.
        generated: The model's.
        is_cut: Whether it was cut for its length, before the model ended it.
        opened: Whether the prompt ended inside a thought.
    """
    asked, got = take_apart(reference), take_apart(generated, opened)
    if asked.answer is None:
        return None
    wanted = asked.answer.value
    is_accurate = got.answer is not None and same_value(got.answer.value, wanted)
    is_closed = got.has_thought and not got.is_open if asked.has_thought or got.has_thought else True
    ends = got.answer is not None and bool(got.mark or not asked.mark)
    in_form = asked.mark in got.answers if asked.mark else got.answer is not None
    return Reasoned(
        is_accurate=is_accurate,
        is_strict=is_accurate
        and is_closed
        and not is_cut
        and in_form
        and (not asked.mark or same_value(got.answers[asked.mark].strict_value, wanted)),
        has_whole_chain=not is_cut and is_closed and got.steps > 0 and (got.has_thought or ends),
        has_whole_answer=not is_cut and is_closed and ends,
        found=got.answer.text if got.answer else None,
    )
