"""The first sentences of a comparison: which adapter, by how much, and how sure."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from qweft.comparison.method_kinds import kind_of
from qweft.comparison.results import BASE
from qweft.comparison.rungs import Rung
from qweft.comparison.statistics import SEEDS_NEEDED, Pairing
from qweft.comparison.summary import Summary, paired
from qweft.comparison.verdicts import best_of, circuit_findings
from qweft.comparison.wording import effect_said, kind_said, label, lower_by, on_circuit, size
from qweft.method.shipping import SAID, ships
from qweft.text import listed, many

NAMED = 4
"""Largest number of methods that a sentence lists by name."""


@dataclass(frozen=True)
class Recommendation:
    """What a comparison recommends: a method, the seed whose adapter is kept, and the sentences.

    The seed is the first: the best one would be chosen on the test rows.
    """

    method: str
    seed: int
    text: str


def conclusion(summary: Mapping[str, Summary]) -> str:
    """Return the method with the lowest loss, how it stands against each other one, and whether the circuits help."""
    name = best_of(summary)
    if name is None:
        trained = any(entry.kind != "base" for entry in summary.values())
        return "Every method diverged at one seed or more." if trained else "No method has a held-out loss yet."
    best = summary[name]
    pairs = _pairs(best, summary)
    lines = [
        f"{label(best)} has the lowest held-out loss after {many(best.steps, 'step')}: {best.eval_loss:.3f}, "
        f"mean of {many(len(best.seeds), 'seed')}{_beside_base(summary)}.",
        *(_standings(best, pairs) if pairs else ["There is no other method to compare it with."]),
        *_circuits_and_diverged(summary),
    ]
    return " ".join(lines)


def recommend(
    summary: Mapping[str, Summary],
    rungs: Sequence[Rung] = (),
    untried: Sequence[str] = (),
    at_end: Collection[str] = (),
) -> Recommendation | None:
    """Return which method to use; `None` if every method diverged.

    Only pairs that were fixed before the test rows were looked at are claimed: the reference, which led on the
    validation rows, against each other method, and each hybrid against its controls. Where the reference diverged, the
    lowest takes its place, and all pairs share the level.
    """
    best = best_of(summary)
    if best is None:
        return None
    reference = summary.get(summary[best].reference)
    leader = summary[best] if reference is None or reference.eval_loss is None else reference
    pairs = _pairs(leader, summary)
    chosen, why, smaller = _choice(leader, summary, pairs)
    directions = {pairing.direction for pairing in pairs.values()}
    if "higher" in directions:
        why += ", which led on the validation rows" if rungs else ", the reference"
    lines = [f"Use {_called(chosen)}: {why}.", *smaller]
    if directions & {"equivalent", "not decided"} and "higher" not in directions:
        lines += _standings(leader, pairs)
    lines.append(_kept(chosen, summary))
    if rungs:
        lines.append("The order of the methods may change in a longer training.")
    lines += [*_circuits_and_diverged(summary), *_stopped(rungs, at_end)]
    if untried:
        lines.append(f"The budget left out {listed(untried)}.")
    return Recommendation(chosen.method, chosen.seeds[0], " ".join(lines))


def _pairs(leader: Summary, summary: Mapping[str, Summary]) -> dict[str, Pairing]:
    """Return how a method compares with each other one that diverged at no seed."""
    others = [entry for entry in summary.values() if entry.kind != "base" and entry.eval_loss is not None]
    return {entry.method: paired(leader, entry) for entry in others if entry is not leader}


def _choice(
    leader: Summary, summary: Mapping[str, Summary], pairs: Mapping[str, Pairing]
) -> tuple[Summary, str, list[str]]:
    """Return the method to use, why, and sentences on smaller ones.

    It is the one that is shown to be better than the leader. Else, if some are not decided, it is the one of these with
    the lowest loss, or one that is equivalent to the leader, no larger and lower still. Else it is the smallest of
    those that are equivalent and whose loss is within the margin of the lowest one: two that are equivalent to a third
    one need not be so to each other. One that runs in Python alone comes last.
    """

    def above(entry: Summary, other: Summary) -> float:
        return 0.0 if entry is other else paired(entry, other).mean or 0.0

    ahead = {leader.method: 0.0, **{name: pairing.mean or 0.0 for name, pairing in pairs.items()}}
    better, equal, left = (
        [summary[name] for name, pairing in pairs.items() if pairing.direction == direction]
        for direction in ("higher", "equivalent", "not decided")
    )
    if better:
        chosen = max(better, key=lambda entry: ahead[entry.method])
        return chosen, f"{lower_by(paired(chosen, leader))} than {leader.method}", []
    if left:
        chosen = max([leader, *left], key=lambda entry: ahead[entry.method])
        why = "it had the lowest loss of those not decided"
        lower = [e for e in equal if above(e, chosen) < 0 and e.trainable_parameters <= chosen.trainable_parameters]
        if lower:
            chosen, why = max(lower, key=lambda entry: ahead[entry.method]), "it had a lower loss"
        least = min([leader, *equal, *left], key=lambda entry: entry.trainable_parameters)
        is_least = least.trainable_parameters == chosen.trainable_parameters
        return chosen, why, [] if is_least else [f"{least.method} comes {size(least, chosen)}."]
    if not equal:
        return leader, _ahead_of_the_next(pairs) or "no other method came to the end", []
    margin = leader.equivalent_within or 0.0
    lowest = min([leader, *equal], key=lambda entry: above(entry, leader))
    near = [entry for entry in equal if above(entry, lowest) < margin]
    chosen = min([leader, *near], key=lambda entry: (_stays(entry), entry.trainable_parameters, entry.eval_loss))
    needs = "" if _stays(chosen) or not any(map(_stays, [leader, *near])) else " that needs no Python"
    why = f"the smallest{needs} of those within {margin:g}% of the lowest loss"
    far = [each for each in equal if each not in near and each.trainable_parameters < chosen.trainable_parameters]
    return (
        chosen,
        why,
        [
            f"{each.method} is smaller, but its loss was {above(each, lowest):.1f}% above {lowest.method}'s."
            for each in far
        ],
    )


def _stays(entry: Summary) -> bool:
    """Whether a method runs in Python alone."""
    return ships(entry.adapter or {}) == "python"


STANDINGS = {
    "lower": "{leader} has {next}.",
    "higher": "An earlier look, at fewer seeds, showed {names} to be better.",
    "equivalent": "Equivalent to {leader} within {margin:g}%: {names}.",
    "not decided": "Not decided between {leader} and {names}{limit}.",
}
"""The other methods, by the answer of the leader against each."""


def _standings(leader: Summary, pairs: Mapping[str, Pairing]) -> list[str]:
    """Return a sentence for each answer that the leader has against others."""
    lines = []
    for direction, sentence in STANDINGS.items():
        own = {name: pairing for name, pairing in pairs.items() if pairing.direction == direction}
        if own:
            names = listed(list(own)) if len(own) <= NAMED else f"{len(own)} others"
            words = {"next": _ahead_of_the_next(own), "limit": _limit(list(own.values())), "names": names}
            lines.append(sentence.format(leader=leader.method, margin=leader.equivalent_within, **words))
    return lines


def _ahead_of_the_next(pairs: Mapping[str, Pairing]) -> str:
    """Return by how much a leader is better than the nearest of some methods; empty without any."""
    if not pairs:
        return ""
    nearest = max(pairs, key=lambda name: pairs[name].mean or 0.0)
    return f"{lower_by(pairs[nearest])} than {'the next, ' if len(pairs) > 1 else ''}{nearest}"


def _limit(pairs: Sequence[Pairing]) -> str:
    """Return in brackets how large a difference had to be to be seen, or why none could be."""
    effects = [pairing.visible for pairing in pairs if pairing.visible is not None]
    if effects:
        return f" (smallest visible effect {effect_said(max(effects))})"
    seeds = max(len(pairing.seeds) for pairing in pairs)
    return f" ({many(seeds, 'seed')}; it takes {SEEDS_NEEDED})" if 0 < seeds < SEEDS_NEEDED else f" ({pairs[0].reason})"


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
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    answers = [circuit_findings(hybrid, methods)[:1] for hybrid in methods if hybrid.kind == "hybrid"]
    names = [entry.method for entry in methods if entry.eval_loss is None]
    lost = [f"Not compared, as a run diverged: {listed(names)}."] if names else []
    return [*(on_circuit(verdict) for found in answers for verdict in found), *lost]


def _stopped(rungs: Sequence[Rung], at_end: Collection[str]) -> list[str]:
    """Return what is said of methods that were stopped: nothing is claimed of them."""
    stopped = [(each, rung) for rung in rungs for each in rung.standings if not each.goes_on]
    names = []
    for each, rung in stopped:
        behind = "diverged" if each.behind is None else f"{each.behind:.1f}% behind {rung.leader}"
        is_hybrid = kind_of(each.method, each.adapter) == "hybrid"
        names.append(f"{each.method} (with a circuit, {behind})" if is_hybrid else each.method)
    lines = [f"Stopped early, on the validation rows: {listed(names)}."] if names else []
    if doubted := [each.method for each, _ in stopped if each.method in at_end]:
        lines.append(f"The best rate tried was an end of the range for {listed(doubted)}: a better one may lie beyond.")
    return lines


def _called(entry: Summary) -> str:
    """Return a method's name with what it is: lora_all (LoRA, rank 8 on all linear layers)."""
    where = (entry.adapter or {}).get("target_modules")
    place = "all linear layers" if where == "all-linear" else " ".join(where) if isinstance(where, list) else where
    return f"{entry.method} ({kind_said(entry.adapter or {})}{f' on {place}' if place else ''})"
