"""The first sentences of a comparison: which adapter, by how much, and how sure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qweft.comparison.judge.halving import Rung
from qweft.comparison.judge.statistics import PairedComparison
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.judge.verdicts import answer_questions, best_method
from qweft.comparison.report.wording import called, limit_said, lower_by, text_of
from qweft.comparison.results import BASE
from qweft.core.text import join_names, many
from qweft.method.shipping import SAID, ships

NAMED = 4
"""Largest number of methods that a sentence lists by name."""
STANDINGS = {
    "lower": "{leader} has {next}.",
    "higher": "An earlier look, at fewer seeds, showed {names} to be better.",
    "equivalent": "Equivalent to {leader} within {margin:g}%: {names}.",
    "not decided": "Not decided between {leader} and {names}{limit}.",
}
"""The other methods, by the answer of the leader against each."""


@dataclass(frozen=True)
class Recommendation:
    """What a comparison recommends: a method, the seed whose adapter is kept, and the sentences."""

    method: str
    seed: int  # the first: the best one would be chosen on the test rows
    text: str


def conclusion(summary: Mapping[str, Summary]) -> str:
    """Return the method with the lowest loss, how it stands against each other one, and whether the circuits help."""
    name = best_method(summary)
    if name is None:
        return "No method has a held-out loss at each of its seeds."
    best = summary[name]
    lines = [
        f"{called(best)} has the lowest held-out loss after {many(best.steps, 'step')}: {best.eval_loss:.3f}, "
        f"mean of {many(len(best.seeds), 'seed')}{_beside_base(summary)}.",
        *(_standings(best, _pairs(best, summary)) or ["There is no other method to compare it with."]),
        *_circuits_and_diverged(summary),
    ]
    return " ".join(lines)


def recommend(
    summary: Mapping[str, Summary], rungs: Sequence[Rung] = (), untried: Sequence[str] = ()
) -> Recommendation | None:
    """Return which method to use, by pairs fixed before the test rows were read; `None` if every method diverged."""
    best = best_method(summary)
    if best is None:
        return None
    reference = summary.get(summary[best].reference)
    leader = summary[best] if reference is None or reference.eval_loss is None else reference
    pairs = _pairs(leader, summary)
    chosen, why = _choice(leader, summary, pairs)
    lines = [f"Use {called(chosen)}: {why}."]
    directions = {pairing.direction for pairing in pairs.values()}
    if "higher" not in directions and directions != {"lower"}:
        lines += _standings(leader, pairs)
    lines.append(_kept(chosen, summary))
    if rungs:
        lines.append("The order of the methods may change in a longer training.")
    lines += _circuits_and_diverged(summary)
    stopped = [each for rung in rungs for each in rung.standings if not each.goes_on]
    if stopped:
        lines.append(f"Stopped early, on the validation rows: {join_names([each.said for each in stopped])}.")
    if untried:
        lines.append(f"The budget left out {join_names(untried)}.")
    return Recommendation(chosen.method, chosen.seeds[0], " ".join(lines))


def _pairs(leader: Summary, summary: Mapping[str, Summary]) -> dict[str, PairedComparison]:
    """Return how a method compares with each other one that diverged at no seed."""
    others = [entry for entry in summary.values() if entry.kind != "base" and entry.eval_loss is not None]
    return {entry.method: compare_methods(leader, entry) for entry in others if entry is not leader}


def _choice(
    leader: Summary, summary: Mapping[str, Summary], pairs: Mapping[str, PairedComparison]
) -> tuple[Summary, str]:
    """Return the method to use, and why: a better one, else the lowest undecided, else the smallest equivalent."""
    behind = {name: pairing.mean or 0.0 for name, pairing in pairs.items()} | {leader.method: 0.0}

    def lowest(entries: Sequence[Summary]) -> Summary:
        return max(entries, key=lambda entry: behind[entry.method])  # by how much the leader's loss is higher

    better, equal, left = (
        [summary[name] for name, pairing in pairs.items() if pairing.direction == direction]
        for direction in ("higher", "equivalent", "not decided")
    )
    if better:
        chosen = lowest(better)
        return chosen, f"{lower_by(compare_methods(chosen, leader))} than {leader.method}"
    if left:
        no_larger = [entry for entry in equal if entry.trainable_parameters <= leader.trainable_parameters]
        return lowest([leader, *left, *no_larger]), "it had the lowest loss of those not shown to be worse"
    if not equal:
        return leader, _ahead_of_the_next(pairs) or "no other method came to the end"
    margin, first = leader.equivalent_within or 0.0, lowest([leader, *equal])
    # two that are equivalent to a third one need not be so to each other
    near = [leader, *(entry for entry in equal if (compare_methods(entry, first).mean or 0.0) < margin)]
    chosen = min(
        near,
        key=lambda entry: (ships(entry.adapter or {}) == "python", entry.trainable_parameters, entry.eval_loss),
    )
    return chosen, f"the smallest of those within {margin:g}% of the lowest loss"


def _standings(leader: Summary, pairs: Mapping[str, PairedComparison]) -> list[str]:
    """Return a sentence for each answer that the leader has against others."""
    lines = []
    for direction, sentence in STANDINGS.items():
        own = {name: pairing for name, pairing in pairs.items() if pairing.direction == direction}
        if own:
            names = join_names(list(own)) if len(own) <= NAMED else f"{len(own)} others"
            words = {"next": _ahead_of_the_next(own), "limit": limit_said(list(own.values())), "names": names}
            lines.append(sentence.format(leader=leader.method, margin=leader.equivalent_within, **words))
    return lines


def _ahead_of_the_next(pairs: Mapping[str, PairedComparison]) -> str:
    """Return by how much a leader is better than the nearest of some methods; empty without any."""
    if not pairs:
        return ""
    nearest = max(pairs, key=lambda name: pairs[name].mean or 0.0)
    return f"{lower_by(pairs[nearest])} than {'the next, ' if len(pairs) > 1 else ''}{nearest}"


def _kept(chosen: Summary, summary: Mapping[str, Summary]) -> str:
    """Return the loss of the adapter that is kept, after how many steps, beside the base model's."""
    loss = chosen.eval_losses[0]
    line = f"After {many(chosen.steps, 'step')} the kept adapter (seed {chosen.seeds[0]}) has a held-out loss of "
    line += f"{loss:.3f}{_beside_base(summary)}."
    if chosen.adapter is not None and (way := ships(chosen.adapter)) != "lora":
        line += f" It ships {SAID[way]}."
    if BASE in summary and loss is not None and loss >= (summary[BASE].eval_loss or math.inf):
        line += " That is no gain: give more rows or time, or use the base model as it is."
    return line


def _beside_base(summary: Mapping[str, Summary]) -> str:
    loss = summary[BASE].eval_loss if BASE in summary else None
    return "" if loss is None else f"; the base model has {loss:.3f}"


def _circuits_and_diverged(summary: Mapping[str, Summary]) -> list[str]:
    """Return a sentence on each circuit, against its controls, and one on the methods that diverged."""
    names = [entry.method for entry in summary.values() if entry.kind != "base" and entry.eval_loss is None]
    lost = [f"Not compared, as a run diverged: {join_names(names)}."] if names else []
    return [*(text_of(each) for each in answer_questions(summary) if each.topic == "circuit" and not each.other), *lost]
