"""The controls of a hybrid: methods that are equal to it but for the core."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qweft.comparison.judge.summary import Summary
from qweft.comparison.method_kinds import ALTERED_CIRCUITS, CLASSICAL_CONTROLS, CONSTANTS, describe_differences
from qweft.method.names import form_of, function_of

Function = str | None
"""Name of the function in the circuit's place; `None` means no function."""

TO_BEAT: tuple[Function, ...] = (None, *CONSTANTS, *CLASSICAL_CONTROLS)
"""Functions of the controls that a circuit must beat if it is to help."""


@dataclass(frozen=True)
class Controls:
    """The controls of one hybrid that were run."""

    by_function: Mapping[Function, Summary]
    lacking: tuple[str, ...]  # runs that are missing, or differ in more than the core


def find_controls(hybrid: Summary, methods: Sequence[Summary]) -> Controls:
    """Return the controls of a hybrid; of several with one function the nearest in size."""
    same_maps = [method for method in methods if method.maps == hybrid.maps]
    nearest_first = sorted(same_maps, key=lambda method: size_distance(method, hybrid))
    controls: dict[Function, Summary] = {}
    unlike: dict[Function, str] = {}
    for function in (*TO_BEAT, *ALTERED_CIRCUITS):
        differing: list[tuple[Summary, list[str]]] = []
        for method in _candidates(function, hybrid, nearest_first):
            fields = _differing_fields(method, hybrid)
            if not fields:
                controls[function] = method
                break
            differing.append((method, fields))
        if differing and function not in controls:
            method, fields = min(differing, key=lambda candidate: len(candidate[1]))
            unlike[function] = f"{method.method} was run, but {', '.join(fields)}"
    missing = _describe_missing({*controls, *unlike})
    return Controls(controls, (*missing, *unlike.values()))


def _candidates(function: Function, hybrid: Summary, methods: Sequence[Summary]) -> list[Summary]:
    """Return the methods with a function in the circuit's place."""
    if function is None:
        without_circuit = [method for method in methods if method.kind == "no_circuit"]
        # Without q, the core Q q(c) + K c is K c: a linear core comes before the identity.
        return sorted(without_circuit, key=lambda method: method.core != "linear")
    core = (function, form_of(hybrid.core or ""))
    return [method for method in methods if method.core and (function_of(method.core), form_of(method.core)) == core]


def _describe_missing(functions: set[Function]) -> list[str]:
    """Return which controls a hybrid lacks altogether."""
    missing = []
    if None not in functions:
        missing.append("the same network without a circuit was not run")
    if functions.isdisjoint(CLASSICAL_CONTROLS):
        missing.append("a classical control of its form was not run")
    return missing


def _differing_fields(method: Summary, hybrid: Summary) -> list[str]:
    """Return how a method differs from the hybrid besides its core; empty for a control."""
    if method.adapter is None or hybrid.adapter is None:
        return ["its adapter was not recorded"]
    fields = describe_differences(method.adapter, hybrid.adapter)
    has_diverged = any(entry.diverged == len(entry.seeds) for entry in (method, hybrid))
    if method.steps != hybrid.steps and not has_diverged:  # a run that diverged has fewer steps
        fields.append(f"steps ({method.steps}, not {hybrid.steps})")
    if fields:
        fields[0] = f"differs in {fields[0]}"
    return fields


def size_distance(method: Summary, other: Summary) -> float:
    """Return the absolute logarithm of the ratio of two parameter counts."""
    return abs(math.log(max(method.trainable_parameters, 1) / max(other.trainable_parameters, 1)))
