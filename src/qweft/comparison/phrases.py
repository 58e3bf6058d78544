"""`Finding`: one answer of a comparison, and the sentences for paired differences."""

import math
from dataclasses import dataclass
from typing import Literal

from qweft.comparison.statistics import LARGEST_P, Pairing, level_said, paired
from qweft.comparison.summary import Summary

Topic = Literal["circuit", "reference", "time", "size", "other", "claim", "fairness"]
Direction = Literal["lower", "higher", "equivalent", "not decided", "open"]

SMALLER = "a smaller difference is shown"
"""What is added to an equivalence where both hold."""
MOST_DIGITS = 6
"""Largest number of digits of a percentage or a p, where fewer would hide a sign or look like the level."""
ANSWERS = {"lower": "yes", "higher": "no", "equivalent": "equivalent", "not decided": "not decided", "open": "open"}
"""Answer to "is it better?" by the direction of its loss."""


@dataclass(frozen=True)
class Finding:
    """One question of the comparison and its answer."""

    topic: Topic
    method: str
    other: str
    direction: Direction
    text: str
    difference: float | None = None
    interval: tuple[float, float] | None = None
    visible: float | None = None
    p_value: float | None = None
    corrected: float | None = None
    room: float | None = None


def held_against(
    topic: Topic, entry: Summary, other: Summary, name: str | None = None, budget: str | None = None
) -> Finding:
    """Compare one method with another and return the finding.

    qtha better than lora (LoRA, rank 8) at equal steps: no, +2.1% [+1.3, +2.8] (3 seeds: +1.8, +2.0, +2.4;
    p = 0.0072; smallest visible effect 0.94%), with 82% fewer parameters.
    """
    pairing = paired(entry, other)
    question = f"{entry.method} better than {name or label(other)} {budget or equal_budget(entry, other)}"
    text = f"{question}: {answer(pairing)}, {numbers(pairing)}, {size(entry, other)}."
    return Finding(
        topic, entry.method, other.method, pairing.direction, text,
        pairing.mean, pairing.interval, pairing.visible, pairing.p_value, pairing.corrected, _room(pairing),
    )  # fmt: skip


def _room(pairing: Pairing) -> float | None:
    """Return how far the ends of a claim's interval are from where it would no longer hold."""
    if pairing.direction == "equivalent" and pairing.widest is not None and pairing.margin is not None:
        return pairing.margin - pairing.widest
    if pairing.direction in ("lower", "higher") and pairing.interval is not None:
        return max(0.0, min(map(abs, pairing.interval)))
    return None


def answer(pairing: Pairing) -> str:
    """Return the answer to "is it better?", an equivalence with its margin."""
    said = ANSWERS[pairing.direction]
    if pairing.direction != "equivalent":
        return said
    return f"{said} within {pairing.margin:g}%{'' if pairing.reason else f' ({SMALLER})'}"


def label(entry: Summary) -> str:
    """Return a method's name, for a LoRA with the word LoRA and its rank."""
    if entry.kind != "lora":
        return entry.method
    return f"{entry.method} (LoRA{'' if entry.rank is None else f', rank {entry.rank}'})"


def equal_budget(entry: Summary, other: Summary) -> str:
    """Return what two methods had equal: time if one was given the other's or both a third's, else steps."""
    same_clock = entry.matches_time is not None and entry.matches_time == other.matches_time
    if same_clock or entry.matches_time == other.method or other.matches_time == entry.method:
        return "at equal wall-clock"
    if entry.steps == other.steps:
        return "at equal steps"
    return f"at {entry.steps} steps against {other.steps}"


def numbers(pairing: Pairing) -> str:
    """Return the mean with its interval, and in brackets each seed's difference and the test."""
    if not any(pairing.differences) or pairing.mean is None:
        return pairing.reason
    digits = _digits(pairing)
    count = len(pairing.differences)
    seeds = ", ".join(_signed(difference, digits) for difference in pairing.differences)
    said = [f"{count} seed{'' if count == 1 else 's'}: {seeds}", *_doubts(pairing)]
    interval = ""
    if pairing.interval is not None:
        interval = f" [{', '.join(_signed(end, digits) for end in pairing.interval)}]"
    return f"{_signed(pairing.mean, digits)}%{interval} ({'; '.join(said)})"


def size(entry: Summary, other: Summary) -> str:
    """Return a size comparison as text: with 82% fewer parameters."""
    percent = percent_more(entry, other)
    if entry.trainable_parameters == other.trainable_parameters:
        return "with as many parameters"
    if math.isinf(percent):
        return "which trains none"
    # Near zero whole percents would read "0% more"; above 300% a factor reads better.
    if percent > 300:
        return f"with {1 + percent / 100:.1f} times the parameters"
    amount = f"{abs(percent):.0f}%" if abs(percent) >= 2 else f"{abs(percent):.1f}%"
    return f"with {amount} {'more' if percent > 0 else 'fewer'} parameters"


def percent_more(entry: Summary, other: Summary) -> float:
    """Return by how many percent a method has more parameters than another; infinity if the other trains none."""
    if not other.trainable_parameters:
        return math.inf
    return 100 * (entry.trainable_parameters / other.trainable_parameters - 1)


def distance(entry: Summary, other: Summary) -> float:
    """Return the absolute logarithm of the ratio of two parameter counts."""
    return abs(math.log(max(entry.trainable_parameters, 1) / max(other.trainable_parameters, 1)))


def _doubts(pairing: Pairing) -> list[str]:
    """Return p, the smallest visible effect and the look as text; without an interval, the reason for that."""
    if pairing.p_value is None or pairing.corrected is None or pairing.visible is None:
        return [pairing.reason]
    look = pairing.look
    plain, corrected = (p_said(value, look.level) for value in (pairing.p_value, pairing.corrected))
    said = f"p {plain}"
    if corrected != plain:
        said += f", corrected {corrected.removeprefix('= ')}"
    told = [said]
    if pairing.reason.startswith("the sign-flip") and pairing.sign_flip is not None:
        told.append(f"sign-flip p {p_said(pairing.sign_flip)}, above {LARGEST_P}")
    told.append(f"smallest visible effect {effect_said(pairing.visible)}")
    if look.planned > 1:
        told.append(f"look {look.number} of {look.planned} at level {level_said(look.level)}")
    return told


def effect_said(visible: float) -> str:
    """Return a smallest visible effect in percent, with two significant digits."""
    return f"{float(f'{visible:.2g}'):g}%"


def _digits(pairing: Pairing) -> int:
    """Return 1 decimal, or 2 if small values would round to zero with 1, and more where a claim's end would."""
    ends = pairing.interval or ()
    large = max(map(abs, pairing.differences)) >= 1
    digits = 1 if large and all(abs(end) >= 0.05 for end in ends) else 2
    is_claimed = pairing.direction in ("lower", "higher")
    while is_claimed and digits < MOST_DIGITS and not all(round(end, digits) for end in ends):
        digits += 1
    return digits


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign; zero never has a minus."""
    return f"{value:+z.{digits}f}"


def p_said(value: float, level: float = LARGEST_P) -> str:
    """Return p after its relation, with two decimals, or with two significant digits below 0.1.

    >>> p_said(0.251), p_said(0.0123), p_said(3e-7), p_said(0.0504), p_said(0.0126, 0.0125)
    ('= 0.25', '= 0.012', '< 0.0001', '= 0.0504', '= 0.0126')
    """
    if value < 0.0001:
        return "< 0.0001"
    if value >= 0.1:
        return f"= {value:.2f}"
    digits = 2
    while digits < MOST_DIGITS and value != level and not _on_its_side(float(f"{value:.{digits}g}"), value, level):
        digits += 1
    return f"= {value:.{digits}g}"


def _on_its_side(rounded: float, value: float, level: float) -> bool:
    """Return whether a rounded p is above the level where the p is, and below it where that is."""
    return rounded != level and (rounded > level) == (value > level)
