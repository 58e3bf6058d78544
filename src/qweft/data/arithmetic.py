"""Checks on worked arithmetic: is the last number the answer, is every simple step true."""

import re

_NUMBER = r"[$€£]?(\d[\d,]*(?:\.\d+)?)"
# "a op b = c" with nothing but numbers, not a piece of a longer expression: no operator, digit or unit sign before it,
# no percent sign, fraction or further digit after it.
_STEP = re.compile(
    rf"(?<![\w.,%$€£)/*+×÷=-])(?<![x*+/×÷(=-]\s){_NUMBER}\s*([-+*/×÷])\s*{_NUMBER}\s*=\s*{_NUMBER}(?![\d.,]*[\d/%])"
)
_LAST = re.compile(r"####\s*(-?[\d,]+(?:\.\d+)?)\s*$")


def tidy(text: str) -> str:
    """Write whole numbers without ".0".

    >>> tidy("14.0 - 4 = 10.0")
    '14 - 4 = 10'
    """
    return re.sub(r"(?<=\d)\.0+(?!\d)", "", text)


def last_number(text: str) -> str | None:
    r"""Return N of a text that ends in "#### N", commas removed, or none.

    >>> last_number("6 * 7 = 42\n#### 1,042")
    '1042'
    """
    found = _LAST.search(text)
    return found.group(1).replace(",", "") if found else None


def false_step(text: str) -> str | None:
    """Return the first "a op b = c" whose result is off by more than 0.01, or none.

    Only steps of two plain numbers are checked; units, percentages and longer expressions are passed over.

    >>> false_step("She needs 30 / 20 = 1 pans")
    '30 / 20 = 1'
    >>> false_step("15 kg * 2 - 9 = 21")
    """
    for found in _STEP.finditer(text):
        left, right, result = (float(found.group(part).replace(",", "")) for part in (1, 3, 4))
        sign = found.group(2)
        if sign in "/÷" and right == 0:
            return found.group(0)
        value = {"+": left + right, "-": left - right, "*": left * right, "×": left * right}.get(sign)
        if abs((left / right if value is None else value) - result) > 0.01:
            return found.group(0)
    return None
