"""`Question` and `Verdict`: what a comparison asks, and the answers as data. `wording` turns verdicts into text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from qweft.comparison.judge.controls import TO_BEAT, Controls, Function, find_controls, size_distance
from qweft.comparison.judge.statistics import NOT_COMPARED, SINGLE_ANALYSIS, PairedComparison
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.method_kinds import CLASSICAL_CONTROLS

Topic = Literal["circuit", "reference", "size", "other", "claim"]
"""A hybrid against its controls, the reference or a LoRA of its size; another against the reference; the best one."""
Direction = Literal["lower", "higher", "equivalent", "not decided", "open"]

SAME_SIZE = math.log(1.1)
"""Largest distance at which two methods count as equal in size."""


class Question(NamedTuple):
    """Whether the loss of a method is lower than that of another one."""

    topic: Topic
    method: Summary
    other: Summary | None  # `None` for a circuit against all of its controls, and where no other one was run


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


def trained_methods(summary: Mapping[str, Summary]) -> list[Summary]:
    """Return all methods but the base model."""
    return [entry for entry in summary.values() if entry.kind != "base"]


def list_questions(summary: Mapping[str, Summary]) -> list[Question]:
    """Return what the config asks, most important first: circuits, hybrids against LoRA, controls, other methods."""
    methods = trained_methods(summary)
    hybrids = [entry for entry in methods if entry.kind == "hybrid"]
    others = [entry for entry in methods if entry.kind != "hybrid"]
    reference = summary.get(methods[0].reference) if methods else None
    questions = [Question("circuit", hybrid, None) for hybrid in hybrids]
    questions += _ask_reference("reference", hybrids, reference)
    for hybrid in hybrids:
        questions += _ask_size(hybrid, methods, reference)
    for hybrid in hybrids:
        controls = find_controls(hybrid, methods).by_function.values()
        questions += [Question("circuit", hybrid, control) for control in controls]
    questions += _ask_reference("other", others, reference)
    return questions


def _ask_reference(topic: Topic, methods: Sequence[Summary], reference: Summary | None) -> list[Question]:
    """Ask for each method against the reference, if that ran."""
    if reference is None:
        return []
    return [Question(topic, entry, reference) for entry in methods if entry is not reference]


def _ask_size(hybrid: Summary, methods: Sequence[Summary], reference: Summary | None) -> list[Question]:
    """Ask for the LoRA nearest in number of parameters, unless the question on the reference covers it."""
    loras = [entry for entry in methods if entry.kind == "lora" and entry.trainable_parameters > 0]
    nearest = min(loras, key=lambda entry: size_distance(entry, hybrid), default=None)
    if nearest is None:
        return [Question("size", hybrid, None)]
    if nearest is not reference:
        return [Question("size", hybrid, nearest)]
    return [] if size_distance(hybrid, nearest) <= SAME_SIZE else [Question("size", hybrid, None)]


def answer_questions(summary: Mapping[str, Summary]) -> list[Verdict]:
    """Return the verdicts, most important first."""
    methods = trained_methods(summary)
    verdicts = []
    for topic, method, other in list_questions(summary):
        if other is not None:
            verdicts.append(answer_pair(topic, method, other))
        elif topic == "circuit":
            verdicts.append(answer_circuit(method, find_controls(method, methods)))
        else:
            lacking = ("no LoRA of its size was run",)
            verdicts.append(Verdict(topic, method.method, "", "open", lacking=lacking))
    return verdicts


def answer_pair(topic: Topic, method: Summary, other: Summary) -> Verdict:
    """Compare one method with another."""
    pairing = compare_methods(method, other)
    return Verdict(topic, method.method, other.method, pairing.direction, pairing, method, other)


def answer_circuit(hybrid: Summary, controls: Controls) -> Verdict:
    """Return whether a circuit helps, from the answers on its controls."""
    answers = {name: answer_pair("circuit", hybrid, control) for name, control in controls.by_function.items()}
    direction, decisive = _combine(answers)
    return Verdict(
        "circuit", hybrid.method, "", direction, entry=hybrid, controls=tuple(decisive), lacking=controls.lacking
    )


def _combine(answers: Mapping[Function, Verdict]) -> tuple[Direction, list[Verdict]]:
    """Return the answer over all controls, and those that it rests on, by the table in docs/statistics.md."""
    to_beat = [answers[function] for function in TO_BEAT if function in answers]
    by_direction: dict[Direction, list[Verdict]] = {}
    for verdict in to_beat:
        by_direction.setdefault(verdict.direction, []).append(verdict)
    if "higher" in by_direction:
        return "higher", by_direction["higher"]
    if "equivalent" in by_direction:
        return "equivalent", by_direction["equivalent"]
    if None not in answers or answers.keys().isdisjoint(CLASSICAL_CONTROLS):
        return "open", []
    if "not decided" in by_direction:
        return "not decided", by_direction["not decided"]
    return "lower", to_beat


def best_method(summary: Mapping[str, Summary]) -> str | None:
    """Return the method with the lowest mean held-out loss at seeds that each two have; `None` without one."""
    entries = [entry for entry in trained_methods(summary) if entry.eval_loss is not None]
    best: Summary | None = None
    for entry in sorted(entries, key=lambda entry: entry.eval_loss or 0.0):
        if best is None or (compare_methods(entry, best, SINGLE_ANALYSIS).mean or 0.0) < 0:
            best = entry
    return None if best is None else best.method


def compare_best(summary: Mapping[str, Summary], is_recommended: bool = False) -> list[Verdict]:
    """Return the best method against each other one; for a recommendation only where the reference diverged."""
    best = best_method(summary)
    if best is None or (is_recommended and has_reference(summary)):
        return []
    others = [entry for entry in trained_methods(summary) if entry.method != best and entry.eval_loss is not None]
    return [answer_pair("claim", summary[best], other) for other in others]


def has_reference(summary: Mapping[str, Summary]) -> bool:
    """Whether the reference ran, and diverged at no seed."""
    return any(name == entry.reference and entry.eval_loss is not None for name, entry in summary.items())
