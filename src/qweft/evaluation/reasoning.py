"""Worked solutions judged: the final answer, and whether chain and answer are complete."""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
# A number with what may stand around it: a currency, a fraction (1 1/2 or 3/4), a percent sign, ten thousands.
_NUMBER = (
    rf"(?P<sign>[-+]?)\s*(?:US)?[$€£¥]?\s*(?P<sign2>-?)(?P<number>{_DIGITS})"
    r"(?:\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)|\s*/\s*(?P<under>\d+(?:\.\d+)?))?\s*(?P<percent>%)?(?P<scale>[万亿])?"
)
_ANYWHERE = re.compile(rf"(?<![A-Za-z0-9_.,/]){_NUMBER}")
# Words, not symbols of an expression, and no further number; "km/h", "°", "m²" (which NFKC writes m2) are units too.
_ALONE = re.compile(rf"{_NUMBER}\s*(?P<unit>[^\W\d_°]?[^\d=+*^(){{}}\\<>:/-]*(?:/\s*[^\W\d_]+)?(?<=[^\W\d_])[23]?|°|)")
_SCALES = {"万": 10**4, "亿": 10**8}

_MARKED = {
    "####": re.compile(r"####[ \t]*(?P<text>(?=.*\d).+|\S+)"),
    "<answer>": re.compile(r"<answer>\s*(?P<text>.*?)\s*</answer>", re.DOTALL),
    # from the words that lead to it, so that "so the answer is 3" holds nothing before its answer
    "said": re.compile(
        r"(?:\b(?:so|thus|hence|therefore|the|my|our|final|correct)\b[\s,:]*)*\banswer\s*(?:is|was|=|:)\s*:?\s*"
        r"(?P<text>.+?)(?=[.!;](?:\s|$)|[。!;\n]|$)"
        r"|(?:(?:所以|因此|因而|故|综上|最终|最后|正确|的)[,:\s]*)*(?:答案|答(?=:))\s*(?:应该)?(?:是|为|=|:)+\s*"
        r"(?P<chinese>.+?)(?=\.(?:\s|$)|[。!;\n]|$)",
        re.IGNORECASE,
    ),
}
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")


@dataclass(frozen=True)
class Number:
    """A number as it was written.

    Args:
        value: Exactly.
        is_percent: Whether a percent sign follows it.
    """

    value: Fraction
    is_percent: bool


Value = Number | str


@dataclass(frozen=True)
class FinalAnswer:
    """An answer in a text.

    Args:
        mark: How it is marked: "####", "boxed", "<answer>", "said" ("the answer is"), or "" for the last number.
        text: What is marked.
        start: Where the mark begins.
    """

    mark: str
    text: str
    start: int

    @property
    def strict_value(self) -> Value:
        """The same, but after #### the value must stand alone: "#### 84 / 2 = 42" may be right by luck."""
        return value_of(self.text) if self.mark == "####" else self.value

    @cached_property
    def value(self) -> Value:
        """What it is worth; in a sentence the number that is told there."""
        exact = value_of(self.text)
        if isinstance(exact, Number) or self.mark in ("boxed", "<answer>"):
            return exact
        told = _ANYWHERE.search(plain(self.text).rpartition("=")[2])
        return (_number(told) or exact) if told else exact


def plain(text: str) -> str:
    r"""A text with one spelling for each sign: full-width forms, minus signs, LaTeX's spaces, fractions and dollars.

    >>> plain("\\frac{3}{4}，４２％")
    ' 3/4,42%'
    """
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)  # 1½ is not 11/2
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("⁄", "/")
    text = re.sub(r"(?<!\w)\*\*|\*\*(?![\w(-])", "", text)  # bold, and no power
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r" \1/\2", text)
    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:left|right)\b|\\[,!;: ]|\\[()\[\]]", "", text).replace("{,}", ",")
    return text.replace("^\\circ", "°").replace("^{\\circ}", "°").replace("\\$", "$").replace("\\%", "%")


def final_answers(text: str) -> dict[str, FinalAnswer]:
    """The last answer of each mark that the text has, in the order in which they stand; the last number if none.

    Args:
        text: What follows the chain of thought, or a whole solution; places are those in `plain` of it.
    """
    text = plain(text)
    found = _marked(text)
    if not found:
        numbers = list(_ANYWHERE.finditer(text))
        found = [FinalAnswer("", each.group().strip(), each.start()) for each in numbers[-1:]]
    last = {each.mark: each for each in found}
    return dict(sorted(last.items(), key=lambda pair: pair[1].start))


def marked_text(text: str) -> str | None:
    """The last marked answer letter by letter, as a verifier wants it; none where nothing is marked.

    >>> marked_text("It is <answer>x**2 </answer>")
    'x**2'
    """
    found = _marked(text)
    return found[-1].text if found else None


def _marked(text: str) -> list[FinalAnswer]:
    """Every marked answer, in order."""
    found = []
    for mark, pattern in _MARKED.items():
        for match in pattern.finditer(text):
            inside = next(filter(None, match.groups()), "").strip()
            found += [FinalAnswer(mark, inside, match.start())] if inside else []
    for match in _BOXED.finditer(text):
        inside = _braced(text, match.end())
        found += [FinalAnswer("boxed", inside, match.start())] if inside else []
    return sorted(found, key=lambda each: each.start)


def _braced(text: str, start: int) -> str:
    """What stands before the brace that closes; empty where none does."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place].strip()
    return ""


def value_of(text: str) -> Value:
    """A number where the text is one with at most a currency or a unit, else the text without case and outer signs.

    >>> value_of("$1,200.50"), value_of("3/4 cups"), value_of("50%"), value_of("3:30 pm.")
    (Number(value=Fraction(2401, 2), is_percent=False), Number(value=Fraction(3, 4), is_percent=False), \
Number(value=Fraction(50, 1), is_percent=True), '3:30 pm')
    """
    text = plain(text).replace("\\", "").rstrip(" \t\n.,;!?*'\"`。、").lstrip(" \t\n*'\"`")
    text = text if re.fullmatch(r"\$-?[\d.,]+", text) else text.strip("$")
    named = re.fullmatch(r"[A-Za-z]\s*=\s*(.+)", text)  # x = 5
    text = named[1] if named else text
    match = _ALONE.fullmatch(text.strip())
    number = _number(match) if match else None
    return number or " ".join(text.casefold().split()).strip("() ")


def _number(match: re.Match[str]) -> Number | None:
    """None for a division by zero."""
    part = match.groupdict()
    value = Fraction(part["number"].replace(",", ""))
    below = Fraction(part["bottom"] or part["under"] or 1)
    if below == 0:
        return None
    value = value + Fraction(part["top"]) / below if part["top"] else value / below
    value *= _SCALES.get(part["scale"] or "", 1)
    is_percent = bool(part["percent"]) or bool(re.match(r"per\s?cent\b", part.get("unit") or ""))
    return Number(-value if "-" in part["sign"] + part["sign2"] else value, is_percent)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal, exactly; 50% equals 50 as well as 1/2, units are not compared."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if one.value == other.value:
        return True
    if one.is_percent == other.is_percent:
        return False
    percent, bare = (one, other) if one.is_percent else (other, one)
    return percent.value / 100 == bare.value


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
