"""`Verdict`: one question of a comparison and its answer, as data. `wording` turns verdicts into text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qweft.comparison.judge.statistics import NOT_COMPARED, SINGLE_ANALYSIS, PairedComparison
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.method_kinds import ALTERED_CIRCUITS, CLASSICAL_CONTROLS, CONSTANTS, differences
from qweft.method.names import form_of, function_of

Topic = Literal["circuit", "reference", "size", "other", "claim"]
"""A hybrid against its controls, the reference or a LoRA of its size; another against the reference; the best one."""
Direction = Literal["lower", "higher", "equivalent", "not decided", "open"]

SAME_SIZE = math.log(1.1)
"""Largest distance at which two methods count as equal in size."""
TO_BEAT = (None, *CONSTANTS, *CLASSICAL_CONTROLS)
"""Functions of the controls that a circuit must beat if it is to help; `None` means no function."""


@dataclass(frozen=True)
class Verdict:
    """One question and its answer."""

    topic: Topic  # what is compared; "claim" is the lowest loss against another method, if no question is on that pair
    method: str
    other: str  # empty if there is none or more than one
    direction: Direction  # of the method's held-out loss; "open" if a run is missing
    pairing: PairedComparison = NOT_COMPARED
    entry: Summary | None = None
    against: Summary | None = None
    controls: tuple["Verdict", ...] = ()  # on which the answer for a circuit rests
    lacking: tuple[str, ...] = ()  # why it is open: runs that are missing, or differ in more than the core
    doubt: str = ""  # what the learning rates leave open of the claim


def held_against(topic: Topic, entry: Summary, other: Summary) -> Verdict:
    """Compare one method with another."""
    pairing = compare_methods(entry, other)
    return Verdict(topic, entry.method, other.method, pairing.direction, pairing, entry, other)


def findings(summary: Mapping[str, Summary]) -> list[Verdict]:
    """Return the verdicts, most important first: circuits, hybrids against LoRA, other methods."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    reference = summary.get(methods[0].reference) if methods else None
    hybrids = [entry for entry in methods if entry.kind == "hybrid"]
    circuits = [circuit_findings(hybrid, methods) for hybrid in hybrids]
    pairs = [
        held_against("reference" if entry.kind == "hybrid" else "other", entry, reference)
        for entry in methods
        if reference is not None and entry is not reference
    ]
    return [
        *(answers[0] for answers in circuits),
        *(each for each in pairs if each.topic == "reference"),
        *(each for hybrid in hybrids for each in _on_size(hybrid, methods, reference)),
        *(each for answers in circuits for each in answers[1:]),
        *(each for each in pairs if each.topic == "other"),
    ]


def best_of(summary: Mapping[str, Summary]) -> str | None:
    """Return the method with the lowest mean held-out loss at seeds that each two have; `None` without one."""
    entries = [entry for entry in summary.values() if entry.kind != "base" and entry.eval_loss is not None]
    best: Summary | None = None
    for entry in sorted(entries, key=lambda entry: entry.eval_loss or 0.0):
        if best is None or (compare_methods(entry, best, SINGLE_ANALYSIS).mean or 0.0) < 0:
            best = entry
    return None if best is None else best.method


def claimed(summary: Mapping[str, Summary], is_recommended: bool = False) -> list[Verdict]:
    """Return the best method against each other one; for a recommendation only where the reference diverged."""
    best = best_of(summary)
    led = any(name == entry.reference and entry.eval_loss is not None for name, entry in summary.items())
    if best is None or (is_recommended and led):
        return []
    methods = [entry for name, entry in summary.items() if entry.kind != "base" and name != best]
    return [held_against("claim", summary[best], entry) for entry in methods if entry.eval_loss is not None]


def circuit_findings(hybrid: Summary, methods: Sequence[Summary]) -> list[Verdict]:
    """Return the answer for one hybrid, then that of each control, equal to it but for the core, nearest in size."""
    alike = sorted((m for m in methods if m.maps == hybrid.maps), key=lambda method: distance(method, hybrid))
    found: dict[str | None, Verdict] = {}
    unlike: dict[str | None, str] = {}
    for function in (*TO_BEAT, *ALTERED_CIRCUITS):
        form = (function, form_of(hybrid.core or ""))
        candidates = [m for m in alike if m.core and (function_of(m.core), form_of(m.core)) == form]
        if function is None:  # Q q(c) + K c is then K c: a linear core comes before the identity
            candidates = sorted((m for m in alike if m.kind == "no_circuit"), key=lambda m: m.core != "linear")
        differing = [(method, _unlike(method, hybrid)) for method in candidates]
        control = next((method for method, fields in differing if not fields), None)
        if control is not None:
            found[function] = held_against("circuit", hybrid, control)
        elif differing:
            nearest, fields = min(differing, key=lambda each: len(each[1]))
            unlike[function] = f"{nearest.method} was run, but {', '.join(fields)}"
    direction, controls = _answer(found)
    missing = [] if None in {*found, *unlike} else ["the same network without a circuit was not run"]
    if not {*found, *unlike} & {*CLASSICAL_CONTROLS}:
        missing.append("a classical twin of its form was not run")
    lacking = (*missing, *unlike.values())
    answer = Verdict("circuit", hybrid.method, "", direction, entry=hybrid, controls=tuple(controls), lacking=lacking)
    return [answer, *found.values()]


def _answer(found: Mapping[str | None, Verdict]) -> tuple[Direction, list[Verdict]]:
    """Return the answer over all controls, and those that it rests on, by the table in docs/statistics.md."""
    asked = [found[function] for function in TO_BEAT if function in found]
    if worse := [each for each in asked if each.direction == "higher"]:
        return "higher", worse
    if same := [each for each in asked if each.direction == "equivalent"]:
        return "equivalent", same
    if None not in found or found.keys().isdisjoint(CLASSICAL_CONTROLS):
        return "open", []
    if all(each.direction == "lower" for each in asked):
        return "lower", asked
    return "not decided", [each for each in asked if each.direction == "not decided"]


def _unlike(method: Summary, hybrid: Summary) -> list[str]:
    """Return how a method differs from the hybrid besides its core; empty for a control."""
    if method.adapter is None or hybrid.adapter is None:
        return ["its adapter was not recorded"]
    found = differences(method.adapter, hybrid.adapter)
    stopped = len(method.seeds) == method.diverged or len(hybrid.seeds) == hybrid.diverged
    if method.steps != hybrid.steps and not stopped:
        found.append(f"steps ({method.steps}, not {hybrid.steps})")
    return [f"differs in {found[0]}", *found[1:]] if found else []


def _on_size(hybrid: Summary, methods: Sequence[Summary], reference: Summary | None) -> list[Verdict]:
    """Compare a hybrid with the LoRA nearest in number of parameters, unless that is the reference."""
    loras = [entry for entry in methods if entry.kind == "lora" and entry.trainable_parameters > 0]
    nearest = min(loras, key=lambda entry: distance(entry, hybrid), default=None)
    if nearest is not None and nearest is not reference:
        return [held_against("size", hybrid, nearest)]
    if nearest is not None and distance(hybrid, nearest) <= SAME_SIZE:
        return []  # the comparison with the reference covers it
    return [Verdict("size", hybrid.method, "", "open", lacking=("no LoRA of its size was run",))]


def distance(entry: Summary, other: Summary) -> float:
    """Return the absolute logarithm of the ratio of two parameter counts."""
    return abs(math.log(max(entry.trainable_parameters, 1) / max(other.trainable_parameters, 1)))
