"""What a comparison shows, in plain sentences, and what it does not show."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from qweft.comparison.pairing import Pairing, pair

if TYPE_CHECKING:
    from qweft.comparison.summary import Summary

SAME_SIZE = 10.0
"""Two methods whose numbers of parameters differ by at most so many percent count as equal in size."""


@dataclass(frozen=True)
class Finding:
    """One question of the comparison and its answer.

    Args:
        topic: "reference", "size" (LoRA of equal size), "circuit" (the network without it, or with a stand-in) or
            "fairness" (what the comparison did not control).
        method: The method in question; empty where the finding is on all.
        other: What it is held against; empty where there is nothing.
        direction: The method's held-out loss is "lower" or "higher"; "not shown"; or "open": there is no such run.
        text: The answer as a sentence or two.
    """

    topic: Literal["reference", "size", "circuit", "fairness"]
    method: str
    other: str
    direction: Literal["lower", "higher", "not shown", "open"]
    text: str


def verdicts(summary: Mapping[str, "Summary"]) -> list[str]:
    """The findings as plain sentences.

    A difference is called lower or higher only where at least three seeds agree on its sign; otherwise the sentence
    says "not shown". All paired differences are in the sentence, and nothing is called significant.

    Args:
        summary: From `summarise`.
    """
    return [finding.text for finding in findings(summary)]


def findings(summary: Mapping[str, "Summary"]) -> list[Finding]:
    """The answers to each hybrid's questions (reference, LoRA of equal size, no circuit), then the other methods'.

    Args:
        summary: From `summarise`.
    """
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    if not methods:
        return []
    reference = summary.get(methods[0].reference)
    found: list[Finding] = []
    for hybrid in [entry for entry in methods if entry.kind == "hybrid"]:
        if hybrid is not reference:
            found.append(_on_reference(hybrid, reference))
        found.extend(_on_size(hybrid, methods, reference))
        found.extend(_on_circuit(hybrid, methods))
    for entry in methods:
        if entry.kind != "hybrid" and entry.method != entry.reference:
            found.append(_on_reference(entry, reference))
    found.extend(_on_rates(methods))
    return found


def _on_reference(entry: "Summary", reference: "Summary | None") -> Finding:
    """A method against the reference."""
    if reference is None:
        text = f"{entry.method}: nothing to compare with, as the reference {entry.reference} has no run."
        return Finding("reference", entry.method, entry.reference, "open", text)
    pairing = _paired(entry, reference)
    rank = f" at equal rank {entry.rank}" if entry.rank is not None and entry.rank == reference.rank else ""
    text = f"{_statement(entry.method, reference.method + rank, pairing)}, {_size(entry, reference)}."
    return Finding("reference", entry.method, reference.method, pairing.direction, text)


def _on_size(hybrid: "Summary", methods: "list[Summary]", reference: "Summary | None") -> list[Finding]:
    """A hybrid against the LoRA whose number of parameters is nearest to its own."""
    loras = [entry for entry in methods if entry.kind == "lora" and entry.trainable_parameters > 0]
    nearest = min(loras, key=lambda entry: _distance(entry, hybrid), default=None)
    equal = nearest is not None and abs(_percent_more(hybrid, nearest)) <= SAME_SIZE
    if nearest is None or (nearest is reference and not equal):
        text = f"No LoRA of {hybrid.method}'s size was run: how the two compare at equal parameters is open."
        return [Finding("size", hybrid.method, "", "open", text)]
    if nearest is reference:
        return []  # said already: the reference is of equal size
    pairing = _paired(hybrid, nearest)
    other = f"{nearest.method}, a LoRA of equal size" if equal else f"{nearest.method}, the LoRA nearest in size"
    text = f"{_statement(hybrid.method, other, pairing)}, {_size(hybrid, nearest)}."
    return [Finding("size", hybrid.method, nearest.method, pairing.direction, text)]


def _on_circuit(hybrid: "Summary", methods: "list[Summary]") -> list[Finding]:
    """A hybrid against the same network without the circuit, and against classical stand-ins for it."""
    alike = [entry for entry in methods if entry.maps == hybrid.maps]
    plain = [entry for entry in alike if entry.kind == "no_circuit"]
    found: list[Finding] = []
    if not plain:
        text = f"Whether the circuit helped {hybrid.method} is open: the same network without a circuit was not run."
        found.append(Finding("circuit", hybrid.method, "", "open", text))
    else:
        nearest = min(plain, key=lambda entry: _distance(entry, hybrid))
        found.append(_circuit_finding(hybrid, nearest, "the network without a circuit"))
    twins = [entry for entry in alike if entry.kind == "twin"]
    return found + [_circuit_finding(hybrid, twin, "a stand-in for the circuit") for twin in twins]


def _circuit_finding(hybrid: "Summary", control: "Summary", what: str) -> Finding:
    """One hybrid against one control, with the answer to whether the circuit helped."""
    pairing = _paired(hybrid, control)
    other = f"{control.method} ({what})"
    if pairing.direction == "not shown":
        answer = f"Whether the circuit helped {hybrid.method} is not shown: against {other}, {_numbers(pairing)}"
    else:
        seems = "seems to have helped" if pairing.direction == "lower" else "seems not to have helped"
        answer = f"The circuit {seems} {hybrid.method}: {_statement(hybrid.method, other, pairing)}"
    text = f"{answer}, {_size(hybrid, control)}."
    return Finding("circuit", hybrid.method, control.method, pairing.direction, text)


def _on_rates(methods: "list[Summary]") -> list[Finding]:
    """A warning where one learning rate served methods that may need different ones."""
    rates = {entry.learning_rate for entry in methods}
    if len(methods) < 2 or len(rates) > 1 or rates == {None}:
        return []
    text = (
        f"All methods trained at the same learning rate ({rates.pop():g}): one whose best rate is another is at a "
        "disadvantage here, so this order may change once each has its own."
    )
    return [Finding("fairness", "", "", "open", text)]


def _statement(method: str, other: str, pairing: Pairing) -> str:
    """Lower, higher or not shown, with all paired differences; a clause that others go on from."""
    if pairing.direction == "not shown":
        return f"{method} against {other}: a difference in held-out loss is not shown; {_numbers(pairing)}"
    return f"{method} has a {pairing.direction} held-out loss than {other}: {_numbers(pairing)}"


def _numbers(pairing: Pairing) -> str:
    """The mean, why it shows nothing where that is so, and all paired differences."""
    if not pairing.differences or pairing.mean is None:
        return pairing.reason
    digits = 1 if max(map(abs, pairing.differences)) >= 1 else 2
    count = len(pairing.differences)
    numbers = ", ".join(f"{difference:+.{digits}f}" for difference in pairing.differences)
    seeds = f"{count} seed{'' if count == 1 else 's'}"
    but = f", but {pairing.reason}" if pairing.reason else ""
    # Without any true difference n fair signs agree with probability 2 / 2^n
    luck = f"; chance alone makes {count} signs agree 1 time in {2 ** (count - 1)}" if not pairing.reason else ""
    what = f"paired difference{'' if count == 1 else 's'} over {seeds}"
    return f"{pairing.mean:+.{digits}f}%{but} ({what}: {numbers} %{luck})"


def _size(entry: "Summary", other: "Summary") -> str:
    """How a method compares in size: with 82% fewer parameters."""
    percent = _percent_more(entry, other)
    if entry.trainable_parameters == other.trainable_parameters:
        return "with as many parameters"
    if math.isinf(percent):
        return "which trains none"
    # Near zero a whole percent would read "0% more", and beyond a few hundred a factor reads better.
    if percent > 300:
        return f"with {1 + percent / 100:.1f} times the parameters"
    amount = f"{abs(percent):.0f}%" if abs(percent) >= 2 else f"{abs(percent):.1f}%"
    return f"with {amount} {'more' if percent > 0 else 'fewer'} parameters"


def _percent_more(entry: "Summary", other: "Summary") -> float:
    """By how many percent a method has more parameters than another one."""
    if not other.trainable_parameters:
        return math.inf
    return 100 * (entry.trainable_parameters / other.trainable_parameters - 1)


def _distance(entry: "Summary", other: "Summary") -> float:
    """How far apart two sizes are, as a ratio."""
    return abs(math.log(max(entry.trainable_parameters, 1) / max(other.trainable_parameters, 1)))


def _paired(entry: "Summary", other: "Summary") -> Pairing:
    """The paired differences of two methods."""
    return pair(
        dict(zip(entry.seeds, entry.eval_losses, strict=True)), dict(zip(other.seeds, other.eval_losses, strict=True))
    )
