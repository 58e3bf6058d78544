"""The conclusion of a comparison in plain sentences: what it decided, and what it could not show."""

import math
from collections.abc import Mapping, Sequence

from qweft.comparison.controls import circuit_findings
from qweft.comparison.phrases import Finding, effect_said, equal_budget, held_against, label
from qweft.comparison.statistics import EQUAL, SEEDS_NEEDED, Pairing, paired
from qweft.comparison.summary import Summary
from qweft.method.names import has_circuit
from qweft.text import listed, many

NAMED = 3
"""Largest number of methods that a sentence lists by name."""


def conclusion(summary: Mapping[str, Summary]) -> str:
    """Return a few sentences: the best method, whether each circuit helps, and how large an effect had to be."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    judged = [entry for entry in methods if entry.eval_loss is not None]
    if not judged:
        return "No method has a held-out loss yet." if not methods else "Every method diverged at one seed or more."
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    best = summary[best_of(summary) or ""]
    pairs = {entry.method: paired(best, entry) for entry in judged if entry is not best}
    undecided = [(pairs[name], summary[name].steps) for name in pairs if pairs[name].direction == "not decided"]
    for entry in [entry for entry in judged if entry.kind == "hybrid"]:
        undecided += [(pairing, entry.steps) for pairing in _undecided(entry, judged)]
    equal = [name for name, pairing in pairs.items() if pairing.direction == "equivalent"]
    diverged = [entry.method for entry in methods if entry.eval_loss is None]
    said = [_best(best, base, pairs, is_everyone=not diverged)]
    if ahead := [name for name, pairing in pairs.items() if pairing.direction == "higher"]:
        said.append(f"But an earlier look, at fewer seeds, showed {_few(ahead)} to be better than it.")
    if equal:
        said.append(f"{_few(equal)} {_is(equal)} equivalent to it within {best.equivalent_within:g}%.")
    if apart := [entry for entry in judged if not equal_budget(best, entry).startswith("at equal")]:
        steps = [entry.steps for entry in apart if entry.steps is not None]
        other = listed([f"{entry.method} {entry.steps}" for entry in apart])
        if len(apart) > NAMED and steps:
            other = f"{len(apart)} others {min(steps):,} to {max(steps):,}"
        said.append(f"The budgets differ: {best.method} had {many(best.steps, 'step')}, {other}.")
    if diverged:
        said.append(f"{listed(diverged)} diverged at one seed or more and {_is(diverged)} not compared.")
    return " ".join([*said, *_on_circuits(methods), *_limit(best, undecided)])


def claimed(summary: Mapping[str, Summary], is_recommended: bool = False) -> list[Finding]:
    """Return what the conclusion claims: the best method against each other one, also where that is no question."""
    best = best_of(summary)
    led = [entry for name, entry in summary.items() if name == entry.reference and entry.eval_loss is not None]
    if best is None or (is_recommended and led):
        return []
    methods = [entry for name, entry in summary.items() if entry.kind != "base" and name != best]
    return [held_against("claim", summary[best], entry) for entry in methods if entry.eval_loss is not None]


def best_of(summary: Mapping[str, Summary]) -> str | None:
    """Return the name of the method with the lowest mean held-out loss; `None` without one."""
    losses = {
        name: dict(zip(entry.seeds, entry.eval_losses, strict=True))
        for name, entry in summary.items()
        if entry.kind != "base" and entry.eval_loss is not None
    }
    left, best = dict(losses), None
    while left:  # each step takes one out: it ends
        found = min(left, key=lambda name: _ahead(left[name], left[best]) if best else summary[name].eval_loss or 0.0)
        if best is not None and _ahead(left[found], left[best]) >= 0:
            break
        if best is not None:
            del left[best]
        best = found
    return best


def _ahead(losses: Mapping[int, float | None], others: Mapping[int, float | None]) -> float:
    """Return how far the mean loss is above the other method's, at the seeds that both have; 0 without any."""
    shared = losses.keys() & others.keys()
    return math.fsum((losses[seed] or 0.0) - (others[seed] or 0.0) for seed in shared) / max(1, len(shared))


def _best(best: Summary, base: float | None, pairs: Mapping[str, Pairing], is_everyone: bool) -> str:
    """Return the sentence on the method with the lowest loss, and on those that are shown to be worse."""
    same = all(pairing.seeds == best.seeds for pairing in pairs.values())
    where = " at the seeds that two methods share" if not same and all(each.seeds for each in pairs.values()) else ""
    which = "" if same else " over its own seeds"
    said = f"{label(best)} has the lowest held-out loss{where}, {best.eval_loss:.3f}{which}"
    if base and best.eval_loss is not None:
        share = 100 * (1 - best.eval_loss / base)
        said += f" ({abs(share):.1f}% {'below' if share >= 0 else 'above'} the base model's)"
    if not pairs:
        return f"{said}; there is nothing to compare it with."
    if equal := [name for name, pairing in pairs.items() if _is_equal(pairing)]:
        said += f", as {'has' if len(equal) == 1 else 'have'} {_few(equal)} (the losses are equal)"
        pairs = {name: pairing for name, pairing in pairs.items() if name not in equal}
        if not pairs:
            return f"{said}."
    # none was ahead at an earlier look, and none diverged
    is_whole = is_everyone and all(pairing.direction != "higher" for pairing in pairs.values())
    pairs = {name: pairing for name, pairing in pairs.items() if pairing.direction != "higher"}
    if not pairs:
        return f"{said}."
    worse = [name for name, pairing in pairs.items() if pairing.direction == "lower"]
    rest = [name for name, pairing in pairs.items() if pairing.direction == "not decided"]
    if len(worse) == len(pairs):
        return f"{said}, and is better than {'every other method' if len(pairs) > 1 and is_whole else _few(worse)}."
    if worse:
        said += f", and is better than {_few(worse)}"
        return f"{said}; {_few(rest)} {_is(rest)} not shown to be worse." if rest else f"{said}."
    if len(rest) < len(pairs):  # the others are equivalent to it
        return f"{said}, but {_few(rest)} {_is(rest)} not shown to be worse." if rest else f"{said}."
    if len(pairs) > 1 and is_whole:
        return f"{said}, but no other method is shown to be worse."
    return f"{said}, but {_few(rest)} {_is(rest)} not shown to be worse."


def _on_circuits(methods: Sequence[Summary]) -> list[str]:
    """Return a sentence for each answer to "does the circuit help?", with the hybrids that it holds for."""
    given: dict[str, list[str]] = {}
    for entry in methods:
        if entry.kind == "hybrid" and (found := circuit_findings(entry, methods)):
            given.setdefault(found[0].direction, []).append(entry.method)
    texts = {
        "lower": "The circuit helps {}.",
        "higher": "The circuit does not help {}: a control without it does better.",
        "equivalent": "The circuit is not needed in {}: a control without it is equivalent within {:g}%.",
        "not decided": "Whether the circuit helps {} is not decided.",
        "open": "Whether the circuit helps {} cannot be told: not all of its controls were run.",
    }
    margin = methods[0].equivalent_within if methods else None
    return [texts[answer].format(listed(given[answer]), margin) for answer in texts if answer in given]


def _undecided(hybrid: Summary, methods: Sequence[Summary]) -> list[Pairing]:
    """Return the comparisons with the controls that lack a circuit, as far as they show no difference."""
    controls = {
        finding.other for finding in circuit_findings(hybrid, methods)[1:] if finding.direction == "not decided"
    }
    asked = [entry for entry in methods if entry.method in controls and not has_circuit(entry.core or "")]
    return [paired(hybrid, entry) for entry in asked]


def _limit(best: Summary, undecided: Sequence[tuple[Pairing, int]]) -> list[str]:
    """Return the sentence on how large an effect had to be in a run of this size; empty if all was decided."""
    most_seeds = max((len(pairing.seeds) for pairing, _ in undecided), default=0)
    if 0 < most_seeds < SEEDS_NEEDED:
        return [f"With {many(most_seeds, 'seed')} no difference can be shown: it takes {SEEDS_NEEDED}."]
    effects = [pairing.visible for pairing, _ in undecided if pairing.visible is not None]
    if not effects:
        return []
    seeds = [len(pairing.seeds) for pairing, _ in undecided if pairing.visible is not None]
    steps = [steps for pairing, steps in undecided if pairing.visible is not None]
    rows = sum(bool(tokens) for _, tokens in best.eval_row_losses[0]) if best.eval_row_losses else 0
    size = [_span(seeds, "seed"), _span(steps, "step"), *([many(rows, "independent test row")] if rows else [])]
    least, most = effect_said(min(effects)), effect_said(max(effects))
    range_said = least if least == most else f"{least.removesuffix('%')} to {most}, by pair"
    return [f"The smallest visible effect with {listed(size)} was {range_said}."]


def _span(counts: Sequence[int], what: str) -> str:
    """Return the least and the largest of some counts as text: 3 to 12 seeds."""
    most = many(max(counts), what)
    return most if min(counts) == max(counts) else f"{min(counts)} to {most}"


def _few(names: Sequence[str]) -> str:
    """Return names as text, or their number if they are many."""
    return listed(names) if len(names) <= NAMED else f"{len(names)} others"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _is_equal(pairing: Pairing) -> bool:
    return pairing.direction == "not decided" and pairing.reason == EQUAL
