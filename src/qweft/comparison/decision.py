"""The first sentences of a comparison: which adapter, by how much, and how sure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from qweft.comparison.method_kinds import kind_of
from qweft.comparison.rungs import Rung
from qweft.comparison.statistics import SEEDS_NEEDED, Pairing
from qweft.comparison.summary import Summary, paired
from qweft.comparison.verdicts import best_of, circuit_findings
from qweft.comparison.wording import effect_said, kind_said, label, lower_by, size
from qweft.method.names import has_circuit
from qweft.method.shipping import SAID, ships
from qweft.text import listed, many

NAMED = 4
"""Largest number of methods that a sentence lists by name."""
GROUPS = {
    "lower": "Better than {}.",
    "higher": "An earlier look, at fewer seeds, showed {} to be better.",
    "equivalent": "Equivalent within {margin:g}%: {}.",
    "not decided": "Not decided against {}{visible}.",
}
"""The other methods, by the answer of the best one against each."""


@dataclass(frozen=True)
class Recommendation:
    """What a comparison recommends: a method, the seed whose adapter is kept, and the sentences.

    The seed is the first: the best one would be chosen on the test rows.
    """

    method: str
    seed: int
    text: str


def conclusion(summary: Mapping[str, Summary]) -> str:
    """Return the best method, how it stands against each other one, and whether the circuits help."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    judged = {entry.method: entry for entry in methods if entry.eval_loss is not None}
    name = best_of(summary)
    if name is None:
        return "Every method diverged at one seed or more." if methods else "No method has a held-out loss yet."
    best = summary[name]
    pairs = {other: paired(best, entry) for other, entry in judged.items() if other != name}
    lines = [
        f"{label(best)} has the lowest held-out loss after {many(best.steps, 'step')}: {best.eval_loss:.3f}, "
        f"mean of {many(len(best.seeds), 'seed')}{_beside_base(summary)}.",
        *_grouped(best, pairs),
    ]
    return " ".join([*lines, *_diverged(methods), *_on_circuits(methods)])


def _grouped(best: Summary, pairs: Mapping[str, Pairing]) -> list[str]:
    """Return a sentence for each answer that the best method has against others, with these."""
    if not pairs:
        return ["There is no other method to compare it with."]
    lines = []
    for direction, sentence in GROUPS.items():
        names = [name for name, pairing in pairs.items() if pairing.direction == direction]
        if names:
            visible = _limit([pairs[name] for name in names])
            lines.append(sentence.format(_few(names), margin=best.equivalent_within, visible=visible))
    return lines


def recommend(
    summary: Mapping[str, Summary],
    rungs: Sequence[Rung] = (),
    untried: Sequence[str] = (),
    at_end: Collection[str] = (),
) -> Recommendation | None:
    """Return which method to use; `None` if every method diverged.

    Only pairs that were fixed before the test rows were looked at are claimed: the reference, which led on the
    validation rows, against each other method, and each hybrid against its controls. Where the reference diverged, the
    lowest takes its place, and all pairs share the level. Of methods that are equivalent it takes the smallest whose
    loss is within the margin of the lowest one. Of those that are not decided it takes the one with the lowest loss, or
    one that is equivalent to the leader, no larger and lower still.
    """
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    judged = {entry.method for entry in methods if entry.eval_loss is not None}
    best = best_of(summary)
    if best is None:
        return None
    leader = summary[methods[0].reference if methods[0].reference in judged else best]
    pairs = {name: paired(leader, summary[name]) for name in judged if name != leader.method}
    pairs = {name: pairs[name] for name in summary if name in pairs}
    better = [name for name, pairing in pairs.items() if pairing.direction == "higher"]
    like = [summary[name] for name, pairing in pairs.items() if pairing.direction in ("equivalent", "not decided")]
    if better:
        chosen = summary[max(better, key=lambda name: pairs[name].mean or 0.0)]
        role = "which led on the validation rows" if rungs else "the reference"
        lines = [f"Use {_called(chosen)}: {lower_by(paired(chosen, leader))} than {leader.method}, {role}."]
    elif like:
        chosen, lines = _among(leader, like, pairs)
    else:
        chosen = leader
        why = _next(pairs) or "no other method came to the end"
        lines = [f"Use {_called(leader)}: {why}."]
    if like and not better and (behind := _next({n: p for n, p in pairs.items() if p.direction == "lower"})):
        lines.append(f"{leader.method} has {behind}.")
    lines += [_kept(chosen, summary), *_on_circuits(methods), *_stopped(rungs, at_end), *_diverged(methods)]
    if untried:
        lines.append(f"The budget left out {listed(untried)}.")
    return Recommendation(chosen.method, chosen.seeds[0], " ".join(lines))


def _next(pairs: Mapping[str, Pairing]) -> str:
    """Return by how much a leader is better than the nearest of some methods; empty without any."""
    if not pairs:
        return ""
    nearest = max(pairs, key=lambda name: pairs[name].mean or 0.0)
    return f"{lower_by(pairs[nearest])} than {'the next, ' if len(pairs) > 1 else ''}{nearest}"


def _among(leader: Summary, like: Sequence[Summary], pairs: Mapping[str, Pairing]) -> tuple[Summary, list[str]]:
    """Return the method to take of those that are not shown to differ from the leader, and the sentences."""
    undecided = [entry for entry in like if pairs[entry.method].direction == "not decided"]
    if not undecided:
        return _of_equals(leader, like)
    ahead = {leader.method: 0.0, **{entry.method: pairs[entry.method].mean or 0.0 for entry in like}}
    chosen = max([leader, *undecided], key=lambda entry: ahead[entry.method])
    equal = [entry for entry in like if entry not in undecided]
    lower = [entry for entry in equal if _behind(entry, chosen) < 0]
    smaller = [entry for entry in lower if entry.trainable_parameters <= chosen.trainable_parameters]
    why = "the lowest loss of these" if lower else "the lowest loss"
    if smaller:
        chosen, why = max(smaller, key=lambda entry: ahead[entry.method]), "a lower loss"
    names = listed([entry.method for entry in undecided])
    limit = _limit([paired(entry, leader) for entry in undecided])
    lines = [f"Use {_called(chosen)}: it had {why}. Not decided between {leader.method} and {names}{limit}."]
    if equal:
        within = f"within {leader.equivalent_within:g}%"
        lines.append(f"Equivalent to {leader.method} {within}: {listed([each.method for each in equal])}.")
    least = min([leader, *like], key=lambda entry: entry.trainable_parameters)
    if least.trainable_parameters < chosen.trainable_parameters:
        lines.append(f"{least.method} comes {size(least, chosen)}.")
    return chosen, lines


def _of_equals(leader: Summary, like: Sequence[Summary]) -> tuple[Summary, list[str]]:
    """Return the smallest of methods that are equivalent to the leader and itself, and the sentences.

    One that no weight equals, which runs in Python alone, comes last.
    Two that are equivalent to a third one need not be so to each other: those that are further behind the lowest loss
    than the margin are left out.
    """
    margin = leader.equivalent_within or 0.0
    lowest = min([leader, *like], key=lambda entry: _behind(entry, leader))
    near = [entry for entry in like if _behind(entry, lowest) < margin]
    chosen = min([leader, *near], key=lambda entry: (_stays(entry), entry.trainable_parameters, entry.eval_loss))
    names = listed([entry.method for entry in near])
    why = f"{names} {'is' if len(near) == 1 else 'are'} equivalent within {margin:g}%, and not smaller"
    if chosen is not leader:
        less = "smaller" if chosen.trainable_parameters < leader.trainable_parameters else "as small"
        less = f"not for Python alone, as {leader.method} is" if _stays(leader) > _stays(chosen) else less
        why = f"equivalent to {leader.method} within {margin:g}%, and {less}"
    far = [each for each in like if each not in near and each.trainable_parameters < chosen.trainable_parameters]
    return chosen, [
        f"Use {_called(chosen)}: {why}.",
        *(f"{e.method} is smaller, but its loss was {_behind(e, lowest):.1f}% above {lowest.method}'s." for e in far),
    ]


def _stays(entry: Summary) -> bool:
    """Whether a method runs in Python alone."""
    return ships(entry.adapter or {}) == "python"


def _behind(entry: Summary, other: Summary) -> float:
    """Return by how many percent the loss is above the other's at the seeds that both have; 0 for the same method."""
    return 0.0 if entry is other else paired(entry, other).mean or 0.0


def _limit(undecided: Sequence[Pairing]) -> str:
    """Return in brackets how large a difference had to be to be seen, or why none could be; empty if all is decided."""
    left = [pairing for pairing in undecided if pairing.direction == "not decided"]
    effects = [pairing.visible for pairing in left if pairing.visible is not None]
    if effects:
        return f" (smallest visible effect {effect_said(max(effects))})"
    seeds = max((len(pairing.seeds) for pairing in left), default=0)
    if 0 < seeds < SEEDS_NEEDED:
        return f" ({many(seeds, 'seed')}; it takes {SEEDS_NEEDED})"
    return f" ({left[0].reason})" if left else ""


def _kept(chosen: Summary, summary: Mapping[str, Summary]) -> str:
    """Return the loss of the adapter that is kept, after how many steps, beside the base model's."""
    loss = chosen.eval_losses[0]
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    line = f"After {many(chosen.steps, 'step')} the kept adapter (seed {chosen.seeds[0]}) has a held-out loss of "
    line += f"{loss:.3f}{_beside_base(summary)}."
    if chosen.adapter is not None and (way := ships(chosen.adapter)) != "lora":
        line += f" It ships {SAID[way]}."
    if base is not None and loss is not None and loss >= base:
        line += " That is no gain: give more rows or time, or use the base model as it is."
    return line


def _beside_base(summary: Mapping[str, Summary]) -> str:
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    return "" if base is None else f"; the base model has {base:.3f}"


def _on_circuits(methods: Sequence[Summary]) -> list[str]:
    """Return a sentence on each circuit that came to the end, against its controls."""
    return [_on_circuit(hybrid, methods) for hybrid in methods if hybrid.kind == "hybrid"]


def _on_circuit(hybrid: Summary, methods: Sequence[Summary]) -> str:
    found = circuit_findings(hybrid, methods)
    classical = {entry.method for entry in methods if not has_circuit(entry.core or "")}
    against = [each for each in found[1:] if each.other in classical]
    names = {answer: [each.other for each in against if each.direction == answer] for answer in GROUPS}
    if names["higher"]:
        return f"The circuit of {hybrid.method} does not help: {names['higher'][0]}, without it, is better."
    if names["equivalent"]:
        control = f"{names['equivalent'][0]}, without it, is equivalent within {hybrid.equivalent_within:g}%"
        return f"The circuit is not needed in {hybrid.method}: {control}."
    if found and found[0].direction == "lower":
        return f"The circuit helps: {hybrid.method} is better than {listed(names['lower'])}."
    if not against:
        return f"Whether the circuit of {hybrid.method} helps is open: no control was run to the end."
    if found[0].direction == "open":  # no number of seeds can give yes
        return f"Whether the circuit of {hybrid.method} helps is open: some of its controls were not run."
    return f"Whether the circuit of {hybrid.method} helps is not decided."


def _stopped(rungs: Sequence[Rung], at_end: Collection[str]) -> list[str]:
    """Return what is said of methods that were stopped: nothing is claimed of them."""
    stopped = [(each, rung) for rung in rungs for each in rung.standings if not each.goes_on]
    lines = []
    for each, rung in stopped:
        if kind_of(each.method, each.adapter) == "hybrid":
            behind = "diverged" if each.behind is None else f"{each.behind:.1f}% behind {rung.leader}"
            lines.append(f"{each.method}, with a circuit, was stopped after {many(rung.steps, 'step')}: {behind}.")
    names = [each.method for each, _ in stopped if kind_of(each.method, each.adapter) != "hybrid"]
    if names:
        lines.append(f"Stopped early, on the validation rows: {listed(names)}.")
    if doubted := [each.method for each, _ in stopped if each.method in at_end]:
        lines.append(f"The best rate tried was an end of the range for {listed(doubted)}: a better one may lie beyond.")
    return lines


def _diverged(methods: Sequence[Summary]) -> list[str]:
    names = [entry.method for entry in methods if entry.eval_loss is None]
    return [f"Not compared, as a run diverged: {listed(names)}."] if names else []


def _called(entry: Summary) -> str:
    """Return a method's name with what it is: lora_all (LoRA, rank 8 on all linear layers)."""
    where = (entry.adapter or {}).get("target_modules")
    place = "" if where is None else f" on {' '.join(where)}" if isinstance(where, list) else f" on {where}"
    place = " on all linear layers" if where == "all-linear" else place
    kind = kind_said(entry.adapter or {})
    return f"{entry.method} ({kind}{',' if place and 'between' in kind else ''}{place})"


def _few(names: Sequence[str]) -> str:
    """Return names as text, or their number if they are many."""
    return listed(names) if len(names) <= NAMED else f"{len(names)} others"
