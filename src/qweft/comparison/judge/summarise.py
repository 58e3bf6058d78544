"""All methods of a comparison judged together: corrected for its questions, at each interim analysis."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from qweft.comparison.judge.corrections import Correction, bonferroni, holm
from qweft.comparison.judge.statistics import SINGLE_ANALYSIS, InterimAnalysis
from qweft.comparison.judge.summary import Summary, compare_methods, summarise_method
from qweft.comparison.judge.verdicts import best_method, list_questions, trained_methods
from qweft.comparison.results import BASE, Run

Pair = tuple[str, str]


def summarise(
    runs: Sequence[Run],
    reference: str = "lora",
    equivalent_within: float | None = None,
    analyses: Sequence[InterimAnalysis] = (SINGLE_ANALYSIS,),
    is_strict: bool = False,
) -> dict[str, Summary]:
    """Return a summary of each method, in the order in which the methods first appear, the base model first.

    Args:
        runs: Those of all methods.
        reference: The method that the others are compared with.
        equivalent_within: Margin of equivalence in percent.
        analyses: The interim analyses that were made.
        is_strict: Whether all claims share one level, as those of a recommendation.
    """
    runs_by_method: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.method != BASE):
        runs_by_method.setdefault(run.method, []).append(run)
    for method_runs in runs_by_method.values():
        method_runs.sort(key=lambda run: run.seed)
    base_run = runs_by_method[BASE][0] if BASE in runs_by_method else None
    reference_runs = runs_by_method.get(reference, [])
    summary: dict[str, Summary] = {}
    for name, method_runs in runs_by_method.items():
        entry = summarise_method(method_runs, reference, reference_runs, base_run)
        summary[name] = replace(entry, equivalent_within=equivalent_within)
    return judge_pairs(summary, analyses, is_strict)


def asked_pairs(summary: Mapping[str, Summary]) -> list[Pair]:
    """Return the pairs of methods that the config asks to compare, each once."""
    pairs: dict[frozenset[str], Pair] = {}
    for _, method, other in list_questions(summary):
        if other is not None:
            pairs.setdefault(frozenset((method.method, other.method)), (method.method, other.method))
    return list(pairs.values())


def judge_pairs(
    summary: Mapping[str, Summary], analyses: Sequence[InterimAnalysis], is_strict: bool = False
) -> dict[str, Summary]:
    """Return the summary with the analysis of each pair: the first that decides, else the last, with corrected p."""
    by_method: dict[str, dict[str, InterimAnalysis]] = {name: {} for name in summary}

    def keep(pair: Pair, analysis: InterimAnalysis) -> None:
        one, other = pair
        by_method[one][other] = analysis
        by_method[other][one] = analysis

    all_pairs = list(combinations([entry.method for entry in trained_methods(summary)], 2))
    best = best_method(summary)
    for pair, analysis in _correct_pairs(summary, all_pairs, analyses[-1], holm).items():
        if best in pair:  # the results alone tell which method is best, so any pair could have been claimed
            keep(pair, analysis)

    questions = all_pairs if is_strict and _is_reference_lost(summary) else asked_pairs(summary)
    decided: set[Pair] = set()
    for planned in analyses:
        corrected = _correct_pairs(summary, questions, planned, bonferroni if is_strict else holm)
        for pair in questions:
            if pair in decided:
                continue
            keep(pair, corrected[pair])
            one, other = pair
            if compare_methods(summary[one], summary[other], corrected[pair]).direction != "not decided":
                decided.add(pair)

    made = tuple(analyses) if analyses[-1].planned > 1 else ()
    return {name: replace(entry, analyses=by_method[name], analyses_made=made) for name, entry in summary.items()}


def _is_reference_lost(summary: Mapping[str, Summary]) -> bool:
    """Whether the reference diverged: the results then tell with which method the others are compared."""
    return any(name == entry.reference and entry.eval_loss is None for name, entry in summary.items())


def _correct_pairs(
    summary: Mapping[str, Summary], pairs: Sequence[Pair], analysis: InterimAnalysis, correction: Correction
) -> dict[Pair, InterimAnalysis]:
    """Return the analysis of each pair, with the p of its difference and of its equivalence corrected."""
    difference_ps: list[float | None] = []
    equivalence_ps: list[float | None] = []
    for one, other in pairs:
        pairing = compare_methods(summary[one], summary[other], analysis)
        difference_ps.append(None if pairing.difference is None else pairing.difference.p_value)
        equivalence_ps.append(None if pairing.equivalence is None else pairing.equivalence.p_value)
    corrected = zip(_correct(difference_ps, correction), _correct(equivalence_ps, correction), strict=True)
    analyses = [replace(analysis, p_value=p, equivalence_p=equivalence_p) for p, equivalence_p in corrected]
    return dict(zip(pairs, analyses, strict=True))


def _correct(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """Return the corrected p of each question; one without a p keeps `None`, and counts."""
    corrected = correction([1.0 if p_value is None else p_value for p_value in p_values])
    return [None if p_value is None else larger for p_value, larger in zip(p_values, corrected, strict=True)]


def undecided_methods(summary: Mapping[str, Summary]) -> set[str]:
    """Return the methods of the questions that further seeds may decide: none of their runs diverged."""
    undecided: set[str] = set()
    for one, other in asked_pairs(summary):
        pairing = compare_methods(summary[one], summary[other])
        if pairing.difference is not None and pairing.direction == "not decided":
            undecided |= {one, other}
    return undecided
