"""Does the circuit help? Compares a hybrid with its controls: no circuit, a classical function, an altered circuit."""

from collections.abc import Sequence
from dataclasses import replace

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.method_kinds import ALTERED_CIRCUITS, CLASSICAL_CONTROLS, CONSTANTS, differences
from qweft.comparison.phrases import ANSWERS, Direction, Finding, distance, effect_said, held_against
from qweft.comparison.statistics import ONCE, paired
from qweft.comparison.summary import Summary
from qweft.method.names import form_of, function_of

NO_CIRCUIT = "{} (the same maps, no circuit)"
"""The network without a function, in a sentence."""
TO_BEAT = (None, *CONSTANTS, *CLASSICAL_CONTROLS)
"""Functions of the controls that a circuit must beat if it is to help; `None` means no function."""


def circuit_findings(hybrid: Summary, methods: Sequence[Summary]) -> list[Finding]:
    """Return the answer for one hybrid, followed by the comparison with each control."""
    found, unlike, alike = {}, {}, {}
    for function, candidates in _candidates(hybrid, methods).items():
        control = next((method for method in candidates if not _unlike(method, hybrid)), None)
        if control is not None:
            found[function] = held_against("circuit", hybrid, control, _called(function, control))
            alike[function] = control
        elif candidates:
            nearest = min(candidates, key=lambda method: len(_unlike(method, hybrid)))
            unlike[function] = f"{_name(nearest)} was run, but {', '.join(_unlike(nearest, hybrid))}"
    if not found and not unlike and hybrid.matches_time is not None:
        return []  # the run of this method at equal steps has the answer
    to_beat = [function for function in alike if function in TO_BEAT]
    equal = [alike[function] for function in to_beat if found[function].direction == "equivalent"]
    return [_answer(hybrid, found, unlike, _equals(hybrid, equal, len(to_beat))), *found.values()]


def _equals(hybrid: Summary, controls: Sequence[Summary], number: int) -> list[str]:
    """Return the controls that the hybrid equals, each held to its share of a look's level (Bonferroni)."""
    equal = []
    for control in controls:
        looks = hybrid.looks_made or (hybrid.looks.get(control.method, ONCE),)
        shares = [replace(look, questions=max(look.questions, number)) for look in looks]
        if any(paired(hybrid, control, share).direction == "equivalent" for share in shares):
            equal.append(control.method)
    return equal


def _candidates(hybrid: Summary, methods: Sequence[Summary]) -> dict[str | None, list[Summary]]:
    """Return methods with the maps and core form of a control, by function, best first. `None` means no circuit."""
    alike = [m for m in methods if m.maps == hybrid.maps and m.matches_time == hybrid.matches_time]
    alike.sort(key=lambda method: distance(method, hybrid))
    # Without the circuit, Q q(c) + K c reduces to K c: a linear core. The identity has fewer parameters.
    plain = sorted((m for m in alike if m.kind == "no_circuit"), key=lambda method: method.core != "linear")
    found: dict[str | None, list[Summary]] = {None: plain}
    form = form_of(hybrid.core or "")
    for function in (*TO_BEAT[1:], *ALTERED_CIRCUITS):
        found[function] = [m for m in alike if m.core and (function_of(m.core), form_of(m.core)) == (function, form)]
    return found


def _unlike(method: Summary, hybrid: Summary) -> list[str]:
    """Return how a method differs from the hybrid besides its core; empty for a control."""
    if method.adapter is None or hybrid.adapter is None:
        return ["its adapter was not recorded"]
    found = differences(method.adapter, hybrid.adapter)
    stopped = len(method.seeds) == method.diverged or len(hybrid.seeds) == hybrid.diverged
    by_the_clock = method.matches_time is not None and method.matches_time == hybrid.matches_time
    if method.steps != hybrid.steps and not stopped and not by_the_clock:
        found.append(f"steps ({method.steps}, not {hybrid.steps})")
    return [f"differs in {found[0]}", *found[1:]] if found else []


def _answer(
    hybrid: Summary, found: dict[str | None, Finding], unlike: dict[str | None, str], equal: Sequence[str]
) -> Finding:
    """Return the answer over all controls."""
    asked = [found[function] for function in TO_BEAT if function in found]
    lacking = None not in found or found.keys().isdisjoint(CLASSICAL_CONTROLS)
    direction: Direction = "not decided"
    if any(finding.direction == "higher" for finding in asked):
        direction = "higher"
    elif equal:
        direction = "equivalent"
    elif lacking:
        direction = "open"
    elif all(finding.direction == "lower" for finding in asked):
        direction = "lower"
    deciding = [each for each in asked if each.direction == direction]
    if direction == "equivalent":
        deciding = [each for each in deciding if each.other in equal]
    seen = [each.visible for each in deciding if each.visible is not None]
    limit = f" (smallest visible effect {effect_said(max(seen))})" if seen else ""
    if direction == "not decided" and all(each.direction != "not decided" for each in asked):
        limit = f" (none is equivalent at 1/{len(asked)} of the level, the share of each)"
    said = f"{ANSWERS[direction].capitalize()}{limit}"
    text = f"Does the circuit help {hybrid.method}? {said}: {_reasons(found, unlike)}."
    for function in ALTERED_CIRCUITS:
        if function in found:
            text += (
                f" {FUNCTIONS[function].claim} (against {found[function].other}): {ANSWERS[found[function].direction]}."
            )
    return Finding("circuit", hybrid.method, "", direction, text)


def _reasons(found: dict[str | None, Finding], unlike: dict[str | None, str]) -> str:
    """Return one clause with the single answers, the missing controls, and the runs that differ too much to be one."""
    said = []
    for function in TO_BEAT:
        if function in found:
            than = f"no circuit ({found[function].other})" if function is None else found[function].other
            said.append(f"than {than}: {ANSWERS[found[function].direction]}")
    clauses = [f"better {', '.join(said)}"] if said else []
    run = {*found, *unlike}
    missing = [] if None in run else ["the same network without a circuit"]
    if run.isdisjoint(CLASSICAL_CONTROLS):
        missing.append("a classical twin of its form")
    if missing:
        clauses.append(f"{' and '.join(missing)} {'were' if len(missing) > 1 else 'was'} not run")
    return "; ".join([*clauses, *unlike.values()])


def _called(function: str | None, control: Summary) -> str:
    """Return what a sentence calls a control, by its function; `None` means the network without a function."""
    return (NO_CIRCUIT if function is None else FUNCTIONS[function].called).format(_name(control))


def _name(control: Summary) -> str:
    """Return the control's name, with its core if the name does not show it."""
    core = control.core or ""
    tells = core in control.method or function_of(core) is None
    return control.method if tells else f"{control.method} ({core})"
