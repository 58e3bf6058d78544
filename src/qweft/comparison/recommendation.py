"""`recommend`: which method to use, in one plain sentence with its evidence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qweft.comparison.conclusion import best_of
from qweft.comparison.controls import circuit_findings
from qweft.comparison.halving import Rung
from qweft.comparison.method_kinds import kind_of
from qweft.comparison.phrases import Finding, effect_said, size
from qweft.comparison.schedule import kind_said
from qweft.comparison.statistics import SEEDS_NEEDED, Pairing, paired
from qweft.comparison.summary import Summary
from qweft.method.names import has_circuit
from qweft.text import listed, many


@dataclass(frozen=True)
class Recommendation:
    """What a comparison recommends."""

    method: str
    seed: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-compatible dict."""
        return {"method": self.method, "seed": self.seed, "text": self.text}


def recommend(
    summary: Mapping[str, Summary],
    rungs: Sequence[Rung] = (),
    untried: Sequence[str] = (),
    at_end: Collection[str] = (),
) -> Recommendation | None:
    """Return which method to use."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    found = {entry.method: entry.eval_loss for entry in methods if entry.eval_loss is not None}
    best = best_of(summary)
    if best is None:
        return None
    leader = summary[methods[0].reference if methods[0].reference in found else best]
    pairs = {name: paired(leader, summary[name]) for name in found if name != leader.method}
    better = [name for name, pairing in pairs.items() if pairing.direction == "higher"]
    like = [name for name, pairing in pairs.items() if pairing.direction in ("equivalent", "not decided")]
    if better:
        chosen = summary[max(better, key=lambda name: pairs[name].mean or 0.0)]
        said = f"Use {_called(chosen)}: {_gain(paired(chosen, leader))} than {leader.method}"
        said += ", which led on the validation rows." if rungs else ", the reference."
    elif like:
        chosen, said = _among(leader, [summary[name] for name in like], pairs)
    else:
        chosen, said = leader, _ahead(leader, pairs)
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    told = [said, _against_base(chosen, base), *_on_circuits(methods, rungs), *_stopped(rungs, at_end)]
    if diverged := [entry.method for entry in methods if entry.eval_loss is None]:
        told.append(f"{listed(diverged)} diverged at one seed or more, and {_is(diverged)} not compared.")
    if untried:
        told.append(f"Not tried, as the budget leaves them out: {listed(untried)}.")
    return Recommendation(chosen.method, chosen.seeds[0], " ".join(filter(None, told)))


def _ahead(leader: Summary, pairs: Mapping[str, Pairing]) -> str:
    """Return the sentence on a leader that is better than every other method."""
    if not pairs:
        return f"Use {_called(leader)}: no other method came to the end."
    following = max(pairs, key=lambda name: pairs[name].mean or 0.0)
    what = "the next, " if len(pairs) > 1 else ""
    return f"Use {_called(leader)}: {_gain(pairs[following])} than {what}{following}."


def _among(leader: Summary, like: Sequence[Summary], pairs: Mapping[str, Pairing]) -> tuple[Summary, str]:
    """Return the method to take of those that are not shown to differ from the leader, and the sentence."""
    undecided = [entry for entry in like if pairs[entry.method].direction == "not decided"]
    if undecided:
        chosen = min(
            [leader, *undecided], key=lambda entry: 0.0 if entry is leader else -(pairs[entry.method].mean or 0.0)
        )
        equal = [entry for entry in like if entry not in undecided]
        lower = [entry for entry in equal if _behind(entry, chosen) < 0]
        smaller = [entry for entry in lower if entry.trainable_parameters <= chosen.trainable_parameters]
        which = "whose loss was the lowest of these" if lower else "whose loss was the lowest"
        if any(entry is not chosen and _behind(entry, chosen) == 0 for entry in [leader, *undecided]):
            which = "as no loss of these was lower" if lower else "as no loss was lower"
        if smaller:
            chosen = min(smaller, key=lambda entry: -(pairs[entry.method].mean or 0.0))
            which = "whose loss was lower"
        limit = _limit([paired(entry, leader) for entry in undecided])
        others = f"{'each of ' * (len(undecided) > 1)}{listed([entry.method for entry in undecided])}"
        said = f"Nothing is decided between {leader.method} and {others}{limit}: take {_called(chosen)}, {which}."
        if equal:
            margin = f"within {leader.equivalent_within:g}%"
            said += f" {listed([each.method for each in equal])} {_is(equal)} equivalent to {leader.method} {margin}."
        least = min([leader, *like], key=lambda entry: entry.trainable_parameters)
        if least.trainable_parameters < chosen.trainable_parameters:
            said += f" {least.method} comes {size(least, chosen)}."
    else:
        chosen, said = _of_equals(leader, like)
    worse = {name: pairing for name, pairing in pairs.items() if pairing.direction == "lower"}
    if worse:
        nearest = max(worse, key=lambda name: worse[name].mean or 0.0)
        what = "the next, " if len(worse) > 1 else ""
        said += f" {leader.method} has {_gain(worse[nearest])} than {what}{nearest}."
    return chosen, said


def _of_equals(leader: Summary, like: Sequence[Summary]) -> tuple[Summary, str]:
    """Return the smallest of methods that are equivalent to the leader and itself, and the sentence."""
    margin = leader.equivalent_within or 0.0
    lowest = min([leader, *like], key=lambda entry: _behind(entry, leader))
    near = [entry for entry in like if _behind(entry, lowest) < margin]
    chosen = min([leader, *near], key=lambda entry: (entry.trainable_parameters, entry.eval_loss))
    if chosen is leader:
        others = f"{listed([entry.method for entry in near])} {_is(near)}"
        said = f"Use {_called(leader)}: {others} equivalent to it within {margin:g}%, and not smaller."
    else:
        less = "smaller" if chosen.trainable_parameters < leader.trainable_parameters else "as small"
        said = f"Use {_called(chosen)}: equivalent to {leader.method} within {margin:g}%, and {less}."
    far = [each for each in like if each not in near and each.trainable_parameters < chosen.trainable_parameters]
    for each in far:
        said += f" {each.method} is smaller, but its loss was {_behind(each, lowest):.1f}% above {lowest.method}'s."
    return chosen, said


def _behind(entry: Summary, other: Summary) -> float:
    """Return by how many percent the loss is above the other's at the seeds that both have; 0 for the same method."""
    return 0.0 if entry is other else paired(entry, other).mean or 0.0


def _limit(undecided: Sequence[Pairing]) -> str:
    """Return in brackets how large a difference had to be to be seen."""
    effects = [pairing.visible for pairing in undecided if pairing.visible is not None]
    seeds = max(len(pairing.seeds) for pairing in undecided)
    if 0 < seeds < SEEDS_NEEDED:
        return f" ({many(seeds, 'seed')}, and it takes {SEEDS_NEEDED})"
    if not effects:
        return f" ({undecided[0].reason})"
    return f" (smallest visible effect {effect_said(max(effects))})"


def _against_base(chosen: Summary, base: float | None) -> str:
    """Return the sentence on the loss beside the base model's; empty if that was not run."""
    if not base or chosen.eval_loss is None:
        return ""
    share = 100 * (1 - chosen.eval_loss / base)
    if share <= 0:
        return (
            f"But its held-out loss is {-share:.1f}% above the base model's: no gain is seen. Give more rows "
            "or time, or use the base model as it is."
        )
    return f"Its held-out loss is {share:.1f}% below the base model's."


def _on_circuits(methods: Sequence[Summary], rungs: Sequence[Rung]) -> list[str]:
    """Return a sentence on each circuit: against its controls if it came to the end, else where it was stopped."""
    said = []
    classical = {entry.method for entry in methods if not has_circuit(entry.core or "")}
    for hybrid in [entry for entry in methods if entry.kind == "hybrid"]:
        found = circuit_findings(hybrid, methods)
        said.append(_on_circuit(hybrid, found[0] if found else None, [f for f in found[1:] if f.other in classical]))
    for rung in rungs:
        for each in rung.standings:
            if each.goes_on or kind_of(each.method, each.adapter) != "hybrid":
                continue
            within = many(rung.steps, "step")
            if each.behind is None:
                said.append(f"Whether the circuit of {each.method} helps cannot be told: it diverged within {within}.")
                continue
            behind = f"{each.behind:.1f}% behind {rung.leader} on the validation rows"
            said.append(
                f"Whether the circuit of {each.method} helps was not asked: it was stopped after {within}, {behind}."
            )
    return said


def _on_circuit(hybrid: Summary, answer: Finding | None, against: Sequence[Finding]) -> str:
    told = {finding.direction: finding.other for finding in against}
    if "higher" in told:
        return f"The circuit of {hybrid.method} does not help: {told['higher']}, without it, is better."
    if "equivalent" in told:
        margin = f"{hybrid.equivalent_within:g}%"
        control = f"{told['equivalent']}, without it, is equivalent within {margin}"
        return f"The circuit is not needed in {hybrid.method}: {control}."
    if answer is not None and answer.direction == "lower":
        return f"The circuit helps: {hybrid.method} is better than {listed([each.other for each in against])}."
    if not against:
        return f"Whether the circuit of {hybrid.method} helps cannot be told: no control came to the end."
    if all(finding.direction == "lower" for finding in against):
        others = listed([each.other for each in against])
        return f"{hybrid.method} is better than {others}; another control of its circuit is missing."
    if answer is not None and answer.direction == "open":  # no number of seeds can give yes
        others = listed([each.other for each in against if each.direction == "not decided"])
        left = f"against {others} it is not decided, and another control of the circuit was not run"
        return f"Whether the circuit of {hybrid.method} helps cannot be told: {left}."
    return f"Whether the circuit of {hybrid.method} helps is not decided."


def _stopped(rungs: Sequence[Rung], at_end: Collection[str]) -> list[str]:
    """Return what is said of methods that were stopped: nothing is claimed of them."""
    stopped = [each for rung in rungs for each in rung.standings if not each.goes_on]
    names = [each.method for each in stopped if kind_of(each.method, each.adapter) != "hybrid"]
    doubted = [each.method for each in stopped if each.method in at_end]
    told = [f"Stopped before, on the validation rows: {listed(names)}."] if names else []
    if doubted:
        best = "best rate of" if len(doubted) == 1 else "best rates of"
        was = "was" if len(doubted) == 1 else "were"
        told.append(f"The {best} {listed(doubted)} {was} at an end of those tried: a better one may lie beyond.")
    return told


def _called(entry: Summary) -> str:
    """Return a method's name with what it is: lora_all, LoRA of rank 8 on all linear layers."""
    where = (entry.adapter or {}).get("target_modules")
    place = "" if where is None else f" on {' '.join(where)}" if isinstance(where, list) else f" on {where}"
    place = " on all linear layers" if where == "all-linear" else place
    kind = kind_said(entry.method, entry.adapter or {})
    return f"{entry.method} ({kind}{',' if place and 'between' in kind else ''}{place})"


def _gain(pairing: Pairing) -> str:
    """Return how much lower the first method's loss is: 2.1% [1.2, 3.0] lower loss."""
    if pairing.mean is None or pairing.interval is None:
        return "lower loss"
    low, high = -pairing.interval[1], -pairing.interval[0]
    digits = 1 if abs(pairing.mean) >= 1 else 2
    while digits < 6 and any(end and not round(end, digits) for end in (low, high)):  # no end is to look like zero
        digits += 1
    return f"{-pairing.mean:.{digits}f}% [{low:.{digits}f}, {high:.{digits}f}] lower loss"


def _is(names: Sequence[Any]) -> str:
    return "is" if len(names) == 1 else "are"
