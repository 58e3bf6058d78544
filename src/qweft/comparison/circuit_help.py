"""Does the circuit help? A hybrid against the same network without its circuit, and with a stand-in in its place."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qweft.comparison.finding import Direction, Finding
from qweft.comparison.kinds import ALTERED_CIRCUITS, CLASSICAL_TWINS, form_of, function_of
from qweft.comparison.wording import ANSWERS, distance, held_against

if TYPE_CHECKING:
    from qweft.comparison.summary import Summary

CALLED = {
    "mlp": "its classical twin {}",
    "fourier": "its classical twin {}",
    "frozen": "{} (its circuit, angles not trained)",
    "product": "{} (its circuit without entanglement)",
    None: "{} (the same maps, no circuit)",
}
"""A control in a sentence, by its function; none is the network without a function."""


def circuit_findings(hybrid: "Summary", methods: "Sequence[Summary]") -> list[Finding]:
    """The answer for one hybrid, and after it the comparison with each control.

    A control has the same maps and the same budget as the hybrid; a stand-in also the form of its core. Where there
    is more than one of a kind, the nearest in size counts.

    Args:
        hybrid: A method with a circuit.
        methods: All methods but the base model.
    """
    controls = _controls(hybrid, methods)
    found = {
        function: held_against("circuit", hybrid, control, CALLED[function].format(_name(control)))
        for function, control in controls.items()
    }
    if not found and hybrid.matches_time is not None:
        return []  # the same method at equal steps has the answer
    return [_answer(hybrid, found), *found.values()]


def _controls(hybrid: "Summary", methods: "Sequence[Summary]") -> "dict[str | None, Summary]":
    """The hybrid's controls by their function; none is the network without one."""
    alike = [m for m in methods if m.maps == hybrid.maps and m.matches_time == hybrid.matches_time]
    # K c is what is left of Q q(c) + K c without the circuit; the identity has less than that.
    plain = [m for m in alike if m.kind == "no_circuit"]
    controls: dict[str | None, Summary] = {}
    if plain:
        controls[None] = min(plain, key=lambda m: (m.core != "linear", distance(m, hybrid)))
    form = form_of(hybrid.core or "")
    for function in (*CLASSICAL_TWINS, *ALTERED_CIRCUITS):
        twins = [m for m in alike if m.core and function_of(m.core) == function and form_of(m.core) == form]
        if twins:
            controls[function] = min(twins, key=lambda m: distance(m, hybrid))
    return controls


def _answer(hybrid: "Summary", found: dict[str | None, Finding]) -> Finding:
    """All controls together.

    Yes where the hybrid is shown better than no circuit and than each classical twin, at least one of them run; no
    where it is shown worse than one of these. What training the angles and entanglement do is said beside it.
    """
    asked = [found[function] for function in (None, *CLASSICAL_TWINS) if function in found]
    missing = []
    if None not in found:
        missing.append("the same network without a circuit")
    if not any(twin in found for twin in CLASSICAL_TWINS):
        missing.append("a classical twin of its form")
    direction: Direction = "not shown"
    if any(finding.direction == "higher" for finding in asked):
        direction = "higher"
    elif not asked:
        direction = "open"
    elif not missing and all(finding.direction == "lower" for finding in asked):
        direction = "lower"
    text = f"Does the circuit help {hybrid.method}? {ANSWERS[direction].capitalize()}: {_reasons(found, missing)}."
    altered = {"frozen": "Training its angles helps", "product": "Entanglement helps"}
    for function, claim in altered.items():
        if function in found:
            text += f" {claim} (against {found[function].other}): {ANSWERS[found[function].direction]}."
    return Finding("circuit", hybrid.method, "", direction, text)


def _reasons(found: dict[str | None, Finding], missing: list[str]) -> str:
    """The single answers in one clause, and what was not run."""
    said = []
    for function in (None, *CLASSICAL_TWINS):
        if function in found:
            than = f"no circuit ({found[function].other})" if function is None else found[function].other
            said.append(f"than {than}: {ANSWERS[found[function].direction]}")
    clauses = [f"better {', '.join(said)}"] if said else []
    if missing:
        clauses.append(f"{' and '.join(missing)} {'were' if len(missing) > 1 else 'was'} not run")
    return "; ".join(clauses)


def _name(control: "Summary") -> str:
    """Its name, with its core's where the name does not tell."""
    core = control.core or ""
    tells = core in control.method or function_of(core) is None
    return control.method if tells else f"{control.method} ({core})"
