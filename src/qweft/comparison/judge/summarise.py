"""All methods of a comparison judged together: Holm's correction, and looks at a growing number of seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from qweft.comparison.judge.statistics import SIGNIFICANCE_LEVEL, SINGLE_ANALYSIS, InterimAnalysis
from qweft.comparison.judge.summary import Summary, compare_methods, summary_of
from qweft.comparison.judge.verdicts import best_of, findings
from qweft.comparison.results import BASE, Run

Pair = tuple[str, str]
Correction = Callable[[Sequence[float]], list[float]]


def summarise(
    runs: Sequence[Run],
    reference: str = "lora",
    equivalent_within: float | None = None,
    looks: Sequence[InterimAnalysis] = (SINGLE_ANALYSIS,),
    is_strict: bool = False,
) -> dict[str, Summary]:
    """Return a summary of each method, in the order in which the methods first appear, the base model first."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.method != BASE):
        groups.setdefault(run.method, []).append(run)
    groups = {name: sorted(group, key=lambda run: run.seed) for name, group in groups.items()}
    untouched, others = groups[BASE][0] if BASE in groups else None, groups.get(reference, [])
    made = {name: summary_of(group, reference, others, untouched) for name, group in groups.items()}
    margin = {name: replace(each, equivalent_within=equivalent_within) for name, each in made.items()}
    return judged(margin, looks, is_strict)


def questions(summary: Mapping[str, Summary]) -> list[Pair]:
    """Return the pairs of methods that the findings compare, each once: what the configuration asks."""
    found: dict[frozenset[str], Pair] = {}
    for each in findings(summary):
        if each.other:
            found.setdefault(frozenset((each.method, each.other)), (each.method, each.other))
    return list(found.values())


def judged(
    summary: Mapping[str, Summary], looks: Sequence[InterimAnalysis], is_strict: bool = False
) -> dict[str, Summary]:
    """Return the summary with each question's look: the first that decides, else the last, p corrected by `holm`."""
    everyone = list(combinations([name for name, entry in summary.items() if entry.kind != "base"], 2))
    # without the reference, results alone say with which method the others are compared: any pair may be claimed
    is_lost = any(name == entry.reference and entry.eval_loss is None for name, entry in summary.items())
    asked = everyone if is_strict and is_lost else questions(summary)
    found: dict[str, dict[str, InterimAnalysis]] = {name: {} for name in summary}

    def note(pair: Pair, look: InterimAnalysis) -> None:
        found[pair[0]][pair[1]] = found[pair[1]][pair[0]] = look

    best = best_of(summary)
    for pair, look in zip(everyone, _corrected(summary, everyone, looks[-1]), strict=True):
        if best in pair:  # only results tell which is best: corrected for all pairs
            note(pair, look)
    decided: set[Pair] = set()
    for each in looks:
        for pair, look in zip(asked, _corrected(summary, asked, each, is_strict), strict=True):
            if pair in decided:
                continue
            note(pair, look)
            if compare_methods(summary[pair[0]], summary[pair[1]], look).direction != "not decided":
                decided.add(pair)
    made = tuple(looks) if looks[-1].planned > 1 else ()
    return {name: replace(entry, looks=found[name], looks_made=made) for name, entry in summary.items()}


def _corrected(
    summary: Mapping[str, Summary], family: Sequence[Pair], look: InterimAnalysis, is_strict: bool = False
) -> list[InterimAnalysis]:
    """Return the look with each pair's corrected p of a difference, and of equivalence."""
    difference_ps: list[float | None] = []
    equivalence_ps: list[float | None] = []
    for one, other in family:
        pairing = compare_methods(summary[one], summary[other], look)
        difference_ps.append(None if pairing.difference is None else pairing.difference.p_value)
        equivalence_ps.append(None if pairing.equivalence is None else pairing.equivalence.p_value)
    correct = bonferroni if is_strict else holm
    corrected = zip(_correct(difference_ps, correct), _correct(equivalence_ps, correct), strict=True)
    return [replace(look, p_value=p, equivalence_p=equal) for p, equal in corrected]


def _correct(p_values: Sequence[float | None], correct: Correction) -> list[float | None]:
    """Return the corrected p of each question; one without a p keeps `None`, and counts."""
    corrected = correct([1.0 if p is None else p for p in p_values])
    return [None if p is None else larger for p, larger in zip(p_values, corrected, strict=True)]


def undecided(summary: Mapping[str, Summary]) -> set[str]:
    """Return the methods of the questions that further seeds may decide: none of their runs diverged."""
    pairs = {pair: compare_methods(summary[pair[0]], summary[pair[1]]) for pair in questions(summary)}
    open_pairs = [pair for pair, each in pairs.items() if each.direction == "not decided" and each.difference]
    return {name for pair in open_pairs for name in pair}


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Return Bonferroni's corrected p, min(1, count * p), of each question."""
    return [min(1.0, len(p_values) * p) for p in p_values]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's corrected p (1979), max over j <= i of min(1, (count - j + 1) p_(j)), of each question."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found


def levels(seeds: Sequence[int]) -> list[float]:
    """Return 0.05 (n_j - n_(j - 1)) / n_last, the level of each look at n_j seeds; they add up to 0.05."""
    return [SIGNIFICANCE_LEVEL * (own - before) / seeds[-1] for before, own in zip([0, *seeds], seeds, strict=False)]
