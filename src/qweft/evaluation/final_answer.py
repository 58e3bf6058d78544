"""Final answers in worked solutions: where they stand, and which number or text they are."""

import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
# One letter is a variable or i, but for units as m, V and t after a space (o is º), and for words: 5 a day.
_LETTER = r"(?<=[\dπ ])(?![dghlmosABCFJKLNTVW]|(?<= )t)[A-Za-z](?!\.?[^\W\d_])(?:(?<=[\dπ].)|(?! +[^\W\d_]))"
_SCALES = {
    "万": 10**4,
    "亿": 10**8,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
# "4 hundred thousand", but not "5 hundred-dollar bills"
_SCALE = r"[万亿]{1,2}|(?i:(?:hundred\s+)?(?:thousand|million|billion|trillion)|hundred)(?![-A-Za-z])"
# A number with an optional sign, currency, fraction (1 1/2 or 3/4), percent sign, scale (5 million, 5万), and π or
# a letter that it is a multiple of. It has no exponent, which is not read.
_AFTER_SIGN = (
    rf"(?:(?:US)?[$€£¥]\s*+)?(?P<sign2>-?)(?P<number>(?>{_DIGITS}))(?![eE][-+]?\d)"
    r"(?:\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)|\s*/\s*(?P<under>\d+(?:\.\d+)?))?\s*(?P<percent>%)?"
    rf"(?:\s*(?P<scale>{_SCALE}))?"
    rf"(?P<times>π(?: *{_LETTER})?|{_LETTER})?+"
)
# In a sentence a sign stands directly before its number: else it is a dash, a bullet or a subtraction.
_ANYWHERE = re.compile(rf"(?<![A-Za-z0-9_.,/])(?P<sign>[-+]?){_AFTER_SIGN}")
_UNIT = r"(?:[kcdmn]?m|in|ft|yd|mi|s|h)\s*\^\s*\{?-?[1-3]\}?"
# A unit is words, "km/h", "°", "m²" (m2 after NFKC) or "m^2", without symbols of an expression or a further number.
_ALONE = re.compile(
    rf"(?P<sign>[-+]?)\s*+{_AFTER_SIGN}\s*"
    rf"(?!\d)(?P<unit>{_UNIT}"
    r"|[^\W\d_°]?[^\d=+*^(){}\\<>:/-]*(?:/\s*[^\W\d_]+)?(?<=[^\W\d_])[23]?|°|)"
)

_MARKED = {
    "####": re.compile(r"####[ \t]*(?P<text>(?=.*\d).+|\S+)"),
    "<answer>": re.compile(r"<answer>\s*(?P<text>.*?)\s*</answer>", re.DOTALL),
    # includes the words that lead to it, so that "so the answer is 3" has no chain before its answer
    "said": re.compile(
        r"(?:\b(?:so|thus|hence|therefore|the|my|our|final|correct)\b[\s,:]*)*\banswer\s*(?:is|was|=|:)\s*:?\s*"
        r"(?P<text>.+?)(?=[.!;](?:\s|$)|[。!;\n]|$)"
        r"|(?:(?:所以|因此|因而|故|综上|最终|最后|正确|的)[,:\s]*)*(?:答案|答(?=:))\s*(?:应该)?(?:是|为|=|:)+\s*"
        r"(?P<chinese>.+?)(?=\.(?:\s|$)|[。!;\n]|$)",
        re.IGNORECASE,
    ),
}
_WHOLE = ("boxed", "<answer>")
"""Marks whose text is the answer as a whole."""
_GOES_ON = re.compile(
    rf"(?!\s*{_UNIT})(?:\s*(?::\s*\d|[\^×·√±]|\*(?!\s*[^\W\d_]{{2}})|/(?!\s*[^\W\d_])|\+|-\s*\d|\d|or\b|\\(?:times|cdot|sqrt)\b)"
    r"|[a-z]\s*(?:[+*^=]|-\s*\d))"
)
"""What makes a number a part of something else: a time, a product, an expression."""
_BRACKET = re.compile(r"[(\[{][\s$€£¥]*$")
_NUMERAL = r"\d+(?:,\d{3}(?!\d))*(?:\.\d+)*"
_WORDS = re.compile(rf"(?<![\w)\]}}])[-+]?{_NUMERAL}|{_NUMERAL}|[^\W\d_]+|[^\w\s.,;!?*'\"`$]")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")


@dataclass(frozen=True)
class Number:
    """A number in a text: its exact value without a percent sign, and what it is multiplied by: π, a letter or both."""

    value: Fraction
    is_percent: bool
    times: str = ""


Value = Number | str


@dataclass(frozen=True)
class FinalAnswer:
    """A final answer in a text: its kind of mark ("" for the last number), the marked text, and the mark's position."""

    mark: str
    text: str
    start: int

    @property
    def strict_value(self) -> Value:
        """Like `value`, but after #### the value must stand alone: "#### 84 / 2 = 42" may be right by luck."""
        return value_of(self.text) if self.mark == "####" else self.value

    @cached_property
    def value(self) -> Value:
        """The answer's value.

        In a sentence it is the first number after the last "=", if any. Texts in a box or in <answer> are taken whole.
        """
        exact = value_of(self.text)
        if isinstance(exact, Number) or self.mark in _WHOLE:
            return exact
        text = plain(self.text).rpartition("=")[2]
        told = _ANYWHERE.search(text)
        if told is None or _GOES_ON.match(text, told.end()):
            return exact
        if _BRACKET.search(text[: told.start()]) and text[told.end() :].lstrip().startswith(","):  # a pair
            return exact
        return _number(told) or exact

    @property
    def is_number(self) -> bool:
        """Whether the text, or what follows its last "=", is a number with at most a currency or a unit."""
        return any(isinstance(value_of(each), Number) for each in (self.text, plain(self.text).rpartition("=")[2]))

    def is_same(self, other: "FinalAnswer", is_strict: bool = False) -> bool:
        """Whether another answer says the same as this one, the reference.

        If this one is a number, the other one has its value. Otherwise both are the same text, or have the same numbers
        and one has words and signs that the other lacks: "about 5 hours" and "5 hours", but not "January 5" and "March
        5".
        """
        if self.is_number:
            return same_value(other.strict_value if is_strict else other.value, self.value)
        if self.mark in _WHOLE or other.mark in _WHOLE:
            # digits that stand apart are several numbers
            spelt = [re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", str(value_of(each.text))) for each in (self, other)]
            return spelt[0] == spelt[1]
        if value_of(self.text) == value_of(other.text):
            return True
        ours, theirs = (Counter(map(_as_value, _WORDS.findall(plain(each.text).casefold()))) for each in (self, other))
        numbers = [[word for word in words.elements() if isinstance(word, Fraction)] for words in (ours, theirs)]
        more = [*(ours - theirs), *(theirs - ours)]
        is_within = (ours <= theirs or theirs <= ours) and all(map(_may_be_left_out, more))
        return bool(numbers[0]) and numbers[0] == numbers[1] and is_within


def _as_value(word: str) -> Fraction | str:
    # no number is a date or a version: 5.6.2024
    return Fraction(word.replace(",", "")) if re.fullmatch(r"[-+]?[\d,]+(?:\.\d+)?", word) else word


def _may_be_left_out(word: Fraction | str) -> bool:
    """Whether an answer is the same without a word: brackets are, and words that are no variable."""
    name = str(word)
    return name in "()[]{}" or (name.isalpha() and "π" not in name and (len(name) > 1 or not name.isascii()))


def plain(text: str) -> str:
    r"""Normalize the spelling of a text: full-width forms, minus signs, bold, LaTeX's spaces, fractions and dollars.

    >>> plain("\\frac{3}{4}，４２％")
    ' 3/4,42%'
    """
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)  # 1½ is not 11/2
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("⁄", "/")
    text = re.sub(r"\bRs\.?[ \t]*(?=-?\.?\d)", "$", text)  # rupees: its point ends no sentence
    text = re.sub(r"\\?(?<![^\W\d_])(?i:pi)(?![^\W\d_])", "π", text)
    text = re.sub(r"(?<!\w)\*\*|\*\*(?![\w(-])", "", text)  # bold, but not powers
    text = re.sub(r"\\[dt]?frac\s*(?:(\d)|\{([^{}]*)\})\s*(?:(\w)|\{([^{}]*)\})", r"\\frac{\1\2}{\3\4}", text)
    text = re.sub(r"\\sqrt\s*(\w)", r"\\sqrt{\1}", text)  # \frac12 and \sqrt 2 have their braces now
    text = re.sub(r"(^|[^\w)\s])(\s*[-+])\s*\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1\2\3/\4", text)
    # "x = - 5" has a sign; after a number, a word or a bracket that closes it is a dash or a subtraction
    text = re.sub(r"(?im)(^|\b(?:is|was|be)|[=:{#])(\s*)(?:a )?(?:minus|negative) (?=[$€£¥]?[\d.])", r"\1\2-", text)
    text = re.sub(r"(?:(?<=[=($\[])|(?<=[\u3400-\u9fff]))[ \t]*([-+])[ \t]+(?=[\d.$€£¥])", r" \1", text)
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r" \1/\2", text)
    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:left|right)\b|\\[,!;: ]|\\[()\[\]]", "", text).replace("{,}", ",")
    return text.replace("^\\circ", "°").replace("^{\\circ}", "°").replace("\\$", "$").replace("\\%", "%")


def final_answers(text: str) -> dict[str, FinalAnswer]:
    """Return the last answer of each kind of mark, in the order of the text; the last number if there is no mark."""
    text = plain(text)
    found = _marked(text)
    if not found:
        found = [FinalAnswer("", each[0].strip(), each.start()) for each in [*_ANYWHERE.finditer(text)][-1:]]
    last = {each.mark: each for each in found}
    return dict(sorted(last.items(), key=lambda pair: pair[1].start))


def marked_text(text: str) -> str | None:
    """Return the last marked answer verbatim, for a verifier; `None` if nothing is marked.

    >>> marked_text("It is <answer>x**2 </answer>")
    'x**2'

    Bold and dollars around the whole answer, or around its mark, are no part of it.

    >>> marked_text("**Answer:** 42"), marked_text("The answer is $x**2$.")
    ('42', 'x**2')
    """
    found = _marked(text)
    return _undressed(found[-1].text) if found else None


def _undressed(text: str) -> str:
    """Return a text without bold or dollars around it; of bold that began before the mark only the end is there."""
    text = text.strip()
    if text.count("**") == 1:
        text = text.removeprefix("**").removesuffix("**").strip()
    for mark in ("**", "$"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark) and text.count(mark) == 2:
            text = text[len(mark) : -len(mark)].strip()
    return text


def _marked(text: str) -> list[FinalAnswer]:
    """Return all marked answers in the order of the text."""
    found = [
        FinalAnswer(mark, next(filter(None, match.groups()), "").strip(), match.start())
        for mark, pattern in _MARKED.items()
        for match in pattern.finditer(text)
    ]
    found += [FinalAnswer("boxed", _braced(text, match.end()), match.start()) for match in _BOXED.finditer(text)]
    return sorted((each for each in found if each.text), key=lambda each: each.start)


def _braced(text: str, start: int) -> str:
    """Return the text up to the matching closing brace; empty if there is none."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place].strip()
    return ""


def value_of(text: str) -> Value:
    """Return a number, if the text is one with at most a currency or a unit, else the text casefolded and stripped.

    >>> value_of("$1,200.50"), value_of("50%").is_percent, value_of("3/4π cm").times, value_of("3:30 pm.")
    (Number(value=Fraction(2401, 2), is_percent=False, times=''), True, 'π', '3:30 pm')
    """
    text = plain(text).replace("\\", "").rstrip(" \t\n.,;!?*'\"`。、").lstrip(" \t\n*'\"`")
    text = text if re.fullmatch(r"\$-?[\d.,]+", text) else text.strip("$")
    named = re.fullmatch(r"[A-Za-z]\s*=\s*(.+)", text)  # x = 5
    text = named[1] if named else text
    match = _ALONE.fullmatch(text.strip())
    number = _number(match) if match else None
    return number or " ".join(text.casefold().split()).strip("() ")


def _number(match: re.Match[str]) -> Number | None:
    """Return the matched number; `None` for a division by zero, and for more digits than Python reads."""
    part = match.groupdict()
    if len(part["number"]) > sys.get_int_max_str_digits():
        return None
    value = Fraction(part["number"].replace(",", ""))
    below = Fraction(part["bottom"] or part["under"] or 1)
    if below == 0:
        return None
    value = value + Fraction(part["top"]) / below if part["top"] else value / below
    for word in re.findall("[万亿]|[a-z]+", (part["scale"] or "").casefold()):
        value *= _SCALES[word]
    is_percent = bool(part["percent"]) or bool(re.match(r"per\s?cent\b", part.get("unit") or ""))
    times = "".join((part["times"] or "").casefold().split())
    return Number(-value if "-" in part["sign"] + part["sign2"] else value, is_percent, times)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are exactly equal. 50% equals both 50 and 1/2; units are not compared."""
    if isinstance(one, str) or isinstance(other, str) or one.times != other.times:
        return one == other
    return one.value in (other.value, other.value * Fraction(100) ** (one.is_percent - other.is_percent))
