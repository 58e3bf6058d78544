"""Final answers in worked solutions: where they stand, and which number or text they are."""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

SCALES = {"万": 10**4, "亿": 10**8, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
# A number with a currency, fraction (1 1/2 or 3/4), percent sign and scale (5 million); an exponent is not read.
_AFTER_SIGN = (
    r"(?:(?:US)?[$€£¥]\s*)?(?P<sign2>-?)(?P<number>(?>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,4000})(?:\.\d+)?|\.\d+))"
    r"(?![eE][-+]?\d)(?:\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)|\s*/\s*(?P<under>\d+(?:\.\d+)?))?(?:\s*(?P<percent>%|per\s?cent\b))?"
    rf"(?:\s*(?P<scale>{'|'.join(SCALES)})(?![-a-z]))?"
)
# In a sentence a sign stands directly before its number: else it is a dash, a bullet or a subtraction.
ANYWHERE = re.compile(rf"(?<![A-Za-z0-9_.,/])(?P<sign>[-+]?){_AFTER_SIGN}", re.IGNORECASE)
# A unit is words, "km/h", "°" or "m2" (m² after NFKC). A letter right after the number, as in 5x, is a variable.
ALONE = re.compile(
    rf"(?P<sign>[-+]?)\s*{_AFTER_SIGN}(?:\s*(?!\d)(?![a-z](?![^\W\d_]))[^\d=+*^(){{}}\\<>:/π-]*(?:/\s*[^\W\d_]+)?"
    r"(?<=[^\W\d_])[23]?|\s*°|\s+[a-z][23]?(?!\w))?",
    re.IGNORECASE,
)
GOES_ON = re.compile(r"\s*(?::\s*\d|[\^×·√±+]|\*(?!\*|\s*[a-z]{2})|/\s*\d|-\s*\d|\d|or\b|\\)|[a-zπ](?![a-z])|π")
"""What makes a number a part of something else: a time, a product, an expression."""
MARKED = {
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
WHOLE = ("boxed", "<answer>")
"""Marks whose text is the answer as a whole."""
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")


@dataclass(frozen=True)
class Number:
    """A number in a text: its exact value without a percent sign."""

    value: Fraction
    is_percent: bool


Value = Number | str


@dataclass(frozen=True)
class FinalAnswer:
    """A final answer in a text: its kind of mark ("" for the last number), the marked text, and the mark's position."""

    mark: str
    text: str
    start: int

    @cached_property
    def value(self) -> Value:
        """The value: in a sentence the first number after the last "=", if any; a box or <answer> is taken whole."""
        exact = value_of(self.text)
        if isinstance(exact, Number) or self.mark in WHOLE:
            return exact
        text = plain(self.text).rpartition("=")[2]
        match = ANYWHERE.search(text)
        if match is None or GOES_ON.match(text, match.end()):
            return exact
        if re.search(r"[(\[{]\s*$", text[: match.start()]) and text[match.end() :].lstrip().startswith(","):  # a pair
            return exact
        return _number(match) or exact

    def is_same(self, other: "FinalAnswer", is_strict: bool = False) -> bool:
        """Whether another answer says the same as this one, the reference: the same value if it is a number."""
        own = [value_of(each) for each in (self.text, plain(self.text).rpartition("=")[2])]
        if any(isinstance(each, Number) for each in own):
            # strictly, the value after #### stands alone: "#### 84 / 2 = 42" may be right by luck
            is_alone = is_strict and other.mark == "####"
            return same_value(value_of(other.text) if is_alone else other.value, self.value)
        # digits that stand apart are several numbers
        one, two = (re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", str(value_of(each.text))) for each in (self, other))
        return one == two


def plain(text: str) -> str:
    """Normalize the spelling: full-width forms, minus signs, bold, LaTeX's spaces, fractions and dollars."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)  # 1½ is not 11/2
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("⁄", "/").replace("\\pi", "π")
    text = re.sub(r"(?<!\w)\*\*|\*\*(?![\w(-])", "", text)  # bold, but not powers
    text = re.sub(r"\\[dt]?frac\s*(?:(\d)|\{([^{}]*)\})\s*(?:(\w)|\{([^{}]*)\})", r" \1\2/\3\4", text)
    # "x = - 5" has a sign; after a number, a word or a bracket that closes it is a dash or a subtraction
    text = re.sub(r"(?<=[=($\[\u3400-\u9fff])\s*([-+])\s+(?=[\d.$€£¥])", r" \1", text)
    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:left|right)\b|\\[,!;: ]|\\[()\[\]]", "", text).replace("{,}", ",")
    return re.sub(r"\^\{?\\circ\}?", "°", text).replace("\\$", "$").replace("\\%", "%")


def final_answers(text: str) -> dict[str, FinalAnswer]:
    """Return the last answer of each kind of mark, in the order of the text; the last number if there is no mark."""
    text = plain(text)
    found = _marked(text)
    if not found:
        found = [FinalAnswer("", each[0].strip(), each.start()) for each in [*ANYWHERE.finditer(text)][-1:]]
    last = {each.mark: each for each in found}
    return dict(sorted(last.items(), key=lambda pair: pair[1].start))


def marked_text(text: str) -> str | None:
    """Return the last marked answer without bold and dollars around it, for a verifier; `None` if nothing is marked."""
    found = _marked(text)
    if not found:
        return None
    text = found[-1].text.strip()
    if text.count("**") == 1:  # of bold that began before the mark only the end is there
        text = text.removeprefix("**").removesuffix("**").strip()
    for mark in ("**", "$"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark) and text.count(mark) == 2:
            text = text[len(mark) : -len(mark)].strip()
    return text


def _marked(text: str) -> list[FinalAnswer]:
    """Return all marked answers in the order of the text."""
    found = [
        FinalAnswer(mark, next(filter(None, match.groups()), "").strip(), match.start())
        for mark, pattern in MARKED.items()
        for match in pattern.finditer(text)
    ]
    found += [FinalAnswer("boxed", _braced(text, match.end()), match.start()) for match in BOXED.finditer(text)]
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
    """Return a number, if the text is one with at most a currency or a unit, else the text casefolded and stripped."""
    text = plain(text).replace("\\", "").strip(" \t\n*'\"`").rstrip(".,;!?。、 ")
    text = text if re.fullmatch(r"\$-?[\d.,]+", text) else text.strip("$")
    text = re.sub(r"^[A-Za-z]\s*=\s*", "", text).strip()  # x = 5
    match = ALONE.fullmatch(text)
    number = _number(match) if match else None
    return number or " ".join(text.casefold().split()).strip("() ")


def _number(match: re.Match[str]) -> Number | None:
    """Return the matched number; `None` for a division by zero."""
    part = match.groupdict()
    value, below = Fraction(part["number"].replace(",", "")), Fraction(part["bottom"] or part["under"] or 1)
    if below == 0:
        return None
    value = value + Fraction(part["top"]) / below if part["top"] else value / below
    value *= SCALES.get((part["scale"] or "").casefold(), 1)
    return Number(-value if "-" in part["sign"] + part["sign2"] else value, bool(part["percent"]))


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are exactly equal. 50% equals both 50 and 1/2; units are not compared."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return one.value in (other.value, other.value * Fraction(100) ** (one.is_percent - other.is_percent))
