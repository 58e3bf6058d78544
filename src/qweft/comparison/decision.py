"""The first sentences of a comparison: which adapter, by how much, and how sure."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from qweft.comparison.halving import Rung
from qweft.comparison.results import BASE
from qweft.comparison.statistics import SEEDS_NEEDED, Pairing
from qweft.comparison.summary import Summary, paired
from qweft.comparison.verdicts import best_of, findings
from qweft.comparison.wording import called, effect_said, lower_by, size, text_of
from qweft.method.shipping import SAID, ships
from qweft.text import listed, many

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
    name = best_of(summary)
    if name is None:
        trained = any(entry.kind != "base" for entry in summary.values())
        return "Every method diverged at one seed or more." if trained else "No method has a held-out loss yet."
    best = summary[name]
    lines = [
        f"{called(best)} has the lowest held-out loss after {many(best.steps, 'step')}: {best.eval_loss:.3f}, "
        f"mean of {many(len(best.seeds), 'seed')}{_beside_base(summary)}.",
        *(_standings(best, _pairs(best, summary)) or ["There is no other method to compare it with."]),
        *_circuits_and_diverged(summary),
    ]
    return " ".join(lines)


def recommend(
    summary: Mapping[str, Summary],
    rungs: Sequence[Rung] = (),
    untried: Sequence[str] = (),
    at_end: Collection[str] = (),
) -> Recommendation | None:
    """Return which method to use, by pairs fixed before the test rows were read; `None` if every method diverged."""
    best = best_of(summary)
    if best is None:
        return None
    reference = summary.get(summary[best].reference)
    leader = summary[best] if reference is None or reference.eval_loss is None else reference
    pairs = _pairs(leader, summary)
    chosen, why = _choice(leader, summary, pairs)
    directions = {pairing.direction for pairing in pairs.values()}
    lines = [f"Use {called(chosen)}: {why}."]
    if "higher" not in directions:
        open_ones = [leader, *(summary[name] for name, each in pairs.items() if each.direction != "lower")]
        least = min(open_ones, key=lambda entry: entry.trainable_parameters)
        if "not decided" in directions and least.trainable_parameters < chosen.trainable_parameters:
            lines.append(f"{least.method} comes {size(least, chosen)}.")
        if directions & {"equivalent", "not decided"}:
            lines += _standings(leader, pairs)
    else:
        lines = [f"{lines[0][:-1]}, {'which led on the validation rows' if rungs else 'the reference'}."]
    lines.append(_kept(chosen, summary))
    if rungs:
        lines.append("The order of the methods may change in a longer training.")
    lines += _circuits_and_diverged(summary)
    stopped = [each for rung in rungs for each in rung.standings if not each.goes_on]
    if stopped:
        lines.append(f"Stopped early, on the validation rows: {listed([each.said for each in stopped])}.")
    if doubted := [each.method for each in stopped if each.method in at_end]:
        lines.append(f"The best rate tried was an end of the range for {listed(doubted)}: a better one may lie beyond.")
    if untried:
        lines.append(f"The budget left out {listed(untried)}.")
    return Recommendation(chosen.method, chosen.seeds[0], " ".join(lines))


def _pairs(leader: Summary, summary: Mapping[str, Summary]) -> dict[str, Pairing]:
    """Return how a method compares with each other one that diverged at no seed."""
    others = [entry for entry in summary.values() if entry.kind != "base" and entry.eval_loss is not None]
    return {entry.method: paired(leader, entry) for entry in others if entry is not leader}


def _choice(leader: Summary, summary: Mapping[str, Summary], pairs: Mapping[str, Pairing]) -> tuple[Summary, str]:
    """Return the method to use, and why: a better one, else the lowest undecided, else the smallest equivalent."""

    def above(entry: Summary, other: Summary) -> float:
        return 0.0 if entry is other else paired(entry, other).mean or 0.0

    def stays(entry: Summary) -> bool:
        return ships(entry.adapter or {}) == "python"

    ahead = {leader.method: 0.0, **{name: pairing.mean or 0.0 for name, pairing in pairs.items()}}
    better, equal, left = (
        [summary[name] for name, pairing in pairs.items() if pairing.direction == direction]
        for direction in ("higher", "equivalent", "not decided")
    )
    if better:
        chosen = max(better, key=lambda entry: ahead[entry.method])
        return chosen, f"{lower_by(paired(chosen, leader))} than {leader.method}"
    if left:
        chosen = max([leader, *left], key=lambda entry: ahead[entry.method])
        lower = [e for e in equal if above(e, chosen) < 0 and e.trainable_parameters <= chosen.trainable_parameters]
        if lower:
            return max(lower, key=lambda entry: ahead[entry.method]), "it had a lower loss"
        return chosen, "it had the lowest loss of those not decided"
    if not equal:
        return leader, _ahead_of_the_next(pairs) or "no other method came to the end"
    margin = leader.equivalent_within or 0.0
    lowest = min([leader, *equal], key=lambda entry: above(entry, leader))
    # two that are equivalent to a third one need not be so to each other
    near = [leader, *(entry for entry in equal if above(entry, lowest) < margin)]
    chosen = min(near, key=lambda entry: (stays(entry), entry.trainable_parameters, entry.eval_loss))
    needs = " that needs no Python" if any(map(stays, near)) and not stays(chosen) else ""
    return chosen, f"the smallest{needs} of those within {margin:g}% of the lowest loss"


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
    names = [entry.method for entry in summary.values() if entry.kind != "base" and entry.eval_loss is None]
    lost = [f"Not compared, as a run diverged: {listed(names)}."] if names else []
    return [*(text_of(each) for each in findings(summary) if each.topic == "circuit" and not each.other), *lost]
