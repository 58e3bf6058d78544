"""The first sentences of a comparison: which adapter, by how much, and how sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qweft.comparison.judge.halving import Rung
from qweft.comparison.judge.statistics import PairedComparison
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.judge.verdicts import answer_questions, best_method, has_reference, trained_methods
from qweft.comparison.report.wording import called, limit_said, lower_by, text_of
from qweft.comparison.results import BASE
from qweft.core.text import join_names, many
from qweft.method.shipping import SAID, ships

NAMED = 4
"""Largest number of methods that a sentence lists by name."""
STANDINGS = {
    "lower": "{leader} has {next}.",
    "higher": "An earlier interim analysis, at fewer seeds, found {names} significantly better.",
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


def describe_conclusion(summary: Mapping[str, Summary]) -> str:
    """Return the method with the lowest loss, how it stands against each other one, and whether the circuits help."""
    name = best_method(summary)
    if name is None:
        return "No method has a held-out loss at each of its seeds."
    best = summary[name]
    standings = describe_standings(best, compare_with_others(best, summary))
    lines = [
        f"{called(best)} has the lowest held-out loss after {many(best.steps, 'step')}: {best.eval_loss:.3f}, "
        f"mean of {many(len(best.seeds), 'seed')}{_describe_base(summary)}.",
        *(standings or ["There is no other method to compare it with."]),
        *_describe_circuits(summary),
        *_describe_diverged(summary),
    ]
    return " ".join(lines)


def recommend(
    summary: Mapping[str, Summary], rungs: Sequence[Rung] = (), untried: Sequence[str] = ()
) -> Recommendation | None:
    """Return which method to use, by pairs fixed before the test rows were read; `None` if every method diverged.

    Args:
        summary: The finalists, judged by one level for all claims.
        rungs: The rounds of the halving before, if any.
        untried: Names of the methods that the budget left out.
    """
    best = best_method(summary)
    if best is None:
        return None
    # The validation rows chose the reference. If it diverged, the lowest takes its place.
    leader = summary[best]
    if has_reference(summary):
        leader = summary[leader.reference]
    pairings = compare_with_others(leader, summary)
    chosen, reason = choose_method(leader, summary, pairings)
    lines = [f"Use {called(chosen)}: {reason}."]
    directions = {pairing.direction for pairing in pairings.values()}
    if "higher" not in directions and directions != {"lower"}:
        lines += describe_standings(leader, pairings)
    lines.append(_describe_kept_adapter(chosen, summary))
    if rungs:
        lines.append("The order of the methods may change in a longer training.")
    lines += _describe_circuits(summary)
    lines += _describe_diverged(summary)
    lines += _describe_left_out(rungs, untried)
    return Recommendation(chosen.method, chosen.seeds[0], " ".join(lines))


def compare_with_others(leader: Summary, summary: Mapping[str, Summary]) -> dict[str, PairedComparison]:
    """Return how a method compares with each other one that diverged at no seed."""
    finished = [entry for entry in trained_methods(summary) if entry.eval_loss is not None]
    return {entry.method: compare_methods(leader, entry) for entry in finished if entry is not leader}


def choose_method(
    leader: Summary, summary: Mapping[str, Summary], pairings: Mapping[str, PairedComparison]
) -> tuple[Summary, str]:
    """Return the method to use, and why: a better one, else the lowest undecided, else the smallest equivalent."""
    by_direction: dict[str, list[Summary]] = {"higher": [], "lower": [], "equivalent": [], "not decided": []}
    for name, pairing in pairings.items():
        by_direction[pairing.direction].append(summary[name])

    better = by_direction["higher"]
    equivalent = by_direction["equivalent"]
    undecided = by_direction["not decided"]
    if better:
        chosen = _lowest(better, pairings)
        return chosen, f"{lower_by(compare_methods(chosen, leader))} than {leader.method}"
    if undecided:
        no_larger = [entry for entry in equivalent if entry.trainable_parameters <= leader.trainable_parameters]
        chosen = _lowest([leader, *undecided, *no_larger], pairings)
        return chosen, "it had the lowest loss of those that are not significantly worse"
    if equivalent:
        return _smallest_equivalent(leader, equivalent, pairings)
    return leader, _describe_lead(pairings) or "no other method came to the end"


def _lowest(entries: Sequence[Summary], pairings: Mapping[str, PairedComparison]) -> Summary:
    """Return the method that is lowest beside the leader, which is itself at zero."""
    leads = {name: pairing.mean or 0.0 for name, pairing in pairings.items()}
    return max(entries, key=lambda entry: leads.get(entry.method, 0.0))  # by how much the leader's loss is higher


def _smallest_equivalent(
    leader: Summary, equivalent: Sequence[Summary], pairings: Mapping[str, PairedComparison]
) -> tuple[Summary, str]:
    """Return the smallest method within the margin of the lowest loss, one that ships first."""
    margin = leader.equivalent_within or 0.0
    lowest = _lowest([leader, *equivalent], pairings)
    candidates = [leader]
    for entry in equivalent:
        # Two that are equivalent to the leader need not be so to each other.
        if (compare_methods(entry, lowest).mean or 0.0) < margin:
            candidates.append(entry)

    def cost(entry: Summary) -> tuple[bool, int, float]:
        needs_python = ships(entry.adapter or {}) == "python"
        return needs_python, entry.trainable_parameters, entry.eval_loss or 0.0

    return min(candidates, key=cost), f"the smallest of those within {margin:g}% of the lowest loss"


def describe_standings(leader: Summary, pairings: Mapping[str, PairedComparison]) -> list[str]:
    """Return a sentence for each answer that the leader has against others."""
    sentences = []
    for direction, sentence in STANDINGS.items():
        alike = {name: pairing for name, pairing in pairings.items() if pairing.direction == direction}
        if not alike:
            continue
        sentences.append(
            sentence.format(
                leader=leader.method,
                margin=leader.equivalent_within,
                next=_describe_lead(alike),
                limit=limit_said(list(alike.values())),
                names=join_names(list(alike)) if len(alike) <= NAMED else f"{len(alike)} others",
            )
        )
    return sentences


def _describe_lead(pairings: Mapping[str, PairedComparison]) -> str:
    """Return by how much a leader is better than the nearest of some methods; empty without any."""
    if not pairings:
        return ""
    nearest = max(pairings, key=lambda name: pairings[name].mean or 0.0)
    others = "the next, " if len(pairings) > 1 else ""
    return f"{lower_by(pairings[nearest])} than {others}{nearest}"


def _describe_kept_adapter(chosen: Summary, summary: Mapping[str, Summary]) -> str:
    """Return the loss of the adapter that is kept, after how many steps, beside the base model's."""
    loss = chosen.eval_losses[0]
    line = (
        f"After {many(chosen.steps, 'step')} the kept adapter (seed {chosen.seeds[0]}) has a held-out loss of "
        f"{loss:.3f}{_describe_base(summary)}."
    )
    shipping = "lora" if chosen.adapter is None else ships(chosen.adapter)
    if shipping != "lora":
        line += f" It ships {SAID[shipping]}."
    base_loss = _base_loss(summary)
    if loss is not None and base_loss is not None and loss >= base_loss:
        line += " That is no gain: give more rows or time, or use the base model as it is."
    return line


def _base_loss(summary: Mapping[str, Summary]) -> float | None:
    """Return the base model's held-out loss."""
    return summary[BASE].eval_loss if BASE in summary else None


def _describe_base(summary: Mapping[str, Summary]) -> str:
    """Return the base model's loss as the end of a sentence; empty if it is unknown."""
    loss = _base_loss(summary)
    return "" if loss is None else f"; the base model has {loss:.3f}"


def _describe_circuits(summary: Mapping[str, Summary]) -> list[str]:
    """Return a sentence on each circuit, against its controls."""
    answers = [verdict for verdict in answer_questions(summary) if verdict.topic == "circuit" and not verdict.other]
    return [text_of(verdict) for verdict in answers]


def _describe_diverged(summary: Mapping[str, Summary]) -> list[str]:
    """Return a sentence on the methods that diverged, if any."""
    names = [entry.method for entry in trained_methods(summary) if entry.eval_loss is None]
    return [f"Not compared, as a run diverged: {join_names(names)}."] if names else []


def _describe_left_out(rungs: Sequence[Rung], untried: Sequence[str]) -> list[str]:
    """Return a sentence on the methods that the halving stopped, and one on those that were not tried."""
    stopped = [standing.describe() for rung in rungs for standing in rung.standings if not standing.goes_on]
    sentences = []
    if stopped:
        sentences.append(f"Stopped early, on the validation rows: {join_names(stopped)}.")
    if untried:
        sentences.append(f"The budget left out {join_names(untried)}.")
    return sentences
