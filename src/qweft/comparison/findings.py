"""The findings of a comparison as sentences, and the warnings on what it did not control."""

from collections.abc import Collection, Mapping, Sequence

from qweft.comparison.controls import circuit_findings
from qweft.comparison.phrases import Finding, distance, equal_budget, held_against, label, percent_more
from qweft.comparison.statistics import LARGEST_P, Look, level_said
from qweft.comparison.summary import Summary
from qweft.environment import ALONE, share_said
from qweft.text import listed

SAME_SIZE = 10.0
"""Largest difference in number of parameters, in percent, at which two methods count as equal in size."""

LARGEST_SHARE = 0.5
"""Share of the target tokens above which one test row, or group of dependent rows, is warned of."""

IMPORTANCE = ("circuit", "reference", "time", "size", "control", "other", "claim", "fairness")
"""Topics in report order, the most important first. "control" is a single control of the circuit."""


def findings(summary: Mapping[str, Summary], searched: Collection[str] = ()) -> list[Finding]:
    """Return the findings, most important first: the circuit, hybrids against LoRA, other methods, fairness."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    if not methods:
        return []
    reference = summary.get(methods[0].reference)
    found: list[Finding] = []
    for hybrid in [entry for entry in methods if entry.kind == "hybrid"]:
        found.extend(circuit_findings(hybrid, methods))
        found.extend(_on_size(hybrid, methods, reference))
    for entry in methods:
        if entry.method != entry.reference:
            found.extend(_on_reference(entry, reference))
        if entry.matches_time is not None and entry.matches_time != entry.reference:
            found.extend(_on_time(entry, summary.get(entry.matches_time)))
    base = next((entry for entry in summary.values() if entry.kind == "base"), None)
    found.extend(_on_looks(methods[0].looks_made) + _on_spoiled(methods, base) + _on_clock(methods))
    found.extend(_on_number(found, methods) + _on_rows(methods) + _on_rates(methods, searched) + _on_terms(methods))
    return sorted(found, key=_importance)


def _importance(finding: Finding) -> int:
    """Return the rank of a finding's topic; a single control ranks below the answer over all controls."""
    return IMPORTANCE.index("control" if finding.topic == "circuit" and finding.other else finding.topic)


def _on_reference(entry: Summary, reference: Summary | None) -> list[Finding]:
    """Compare a method with the reference, if both have the same budget."""
    if reference is None:
        text = f"{entry.method}: nothing to compare with, as the reference {entry.reference} has no run."
        return [Finding("reference", entry.method, entry.reference, "open", text)]
    if entry.matches_time not in (reference.matches_time, reference.method):
        return []  # matched to a third method's time: its steps differ from the reference's
    return [held_against("reference" if entry.kind == "hybrid" else "other", entry, reference)]


def _on_time(entry: Summary, other: Summary | None) -> list[Finding]:
    """Compare a method with the one whose time it was given; the hybrid of the two is the subject."""
    if other is None:
        text = f"{entry.method}: nothing to compare with, as {entry.matches_time}, whose time it was given, has no run."
        return [Finding("time", entry.method, str(entry.matches_time), "open", text)]
    if other.kind == "hybrid" and entry.kind != "hybrid":
        entry, other = other, entry
    return [held_against("time", entry, other)]


def _on_size(hybrid: Summary, methods: Sequence[Summary], reference: Summary | None) -> list[Finding]:
    """Compare a hybrid with the LoRA nearest in number of parameters, at the same budget."""
    loras = [
        entry
        for entry in methods
        if entry.kind == "lora" and entry.trainable_parameters > 0 and entry.matches_time == hybrid.matches_time
    ]
    nearest = min(loras, key=lambda entry: distance(entry, hybrid), default=None)
    equal = nearest is not None and abs(percent_more(hybrid, nearest)) <= SAME_SIZE
    if nearest is None or (nearest is reference and not equal):
        if hybrid.matches_time is not None:
            return []  # the same method at equal steps has the answer
        text = f"No LoRA of {hybrid.method}'s size was run: how the two compare at equal parameters is open."
        return [Finding("size", hybrid.method, "", "open", text)]
    if nearest is reference:
        return []  # the comparison with the reference covers it
    name = label(nearest) if equal else f"{label(nearest)}, the LoRA nearest in size,"
    budget = equal_budget(hybrid, nearest)
    return [held_against("size", hybrid, nearest, name, f"{budget} and size" if equal else budget)]


def _on_spoiled(methods: Sequence[Summary], base: Summary | None) -> list[Finding]:
    """Warn of each method that ended above the base model's loss: its learning rate may be at fault."""
    untouched = None if base is None else base.eval_loss
    if untouched is None:
        return []
    found = []
    for entry in methods:
        worse = [each for each in entry.eval_losses if each is not None and round(each, 4) > round(untouched, 4)]
        if not worse:
            continue
        rate = "" if entry.learning_rate is None else f" ({entry.learning_rate:g})"
        text = (
            f"{entry.method} ended above the base model's loss at {len(worse)} of its {len(entry.seeds)} seeds "
            f"({max(worse):.4f} against {untouched:.4f}): its learning rate{rate} may be too high, or the "
            "training too long, and a comparison with it says little about the method. Try a lower rate, or a search "
            "with more steps, seeds and rows."
        )
        found.append(Finding("fairness", entry.method, "", "open", text))
    return found


def _on_clock(methods: Sequence[Summary]) -> list[Finding]:
    """Warn of each method whose number of steps comes from step times that were not measured alone."""
    found = []
    for entry in methods:
        if entry.matches_time is None or (entry.matched_beside or 0) <= ALONE:
            continue
        text = (
            f"{entry.method} has as many steps as take the time of {entry.matches_time}, by step times that were not "
            f"measured alone (others took {share_said(entry.matched_beside)} of the processors): its time may differ."
        )
        found.append(Finding("fairness", entry.method, entry.matches_time, "open", text))
    return found


def _on_number(found: Sequence[Finding], methods: Sequence[Summary]) -> list[Finding]:
    """Say for how many differences the p was corrected: those without a p count, too."""
    names = {entry.method for entry in methods}
    pairs = [each for each in found if each.topic != "fairness" and {each.method, each.other} <= names]
    p_values = {frozenset((each.method, each.other)): each.p_value for each in pairs}
    how = "(Holm); intervals and the equivalence of a pair are not"
    strict = {frozenset((entry.method, other)): look for entry in methods for other, look in entry.looks.items()}
    if any(look.questions > 1 for look in strict.values()):
        # if the reference diverged, these are all pairs of methods
        p_values = {pair: look.p_value for pair, look in strict.items() if look.questions > 1}
        how = "(Bonferroni), and so is equivalence, so that all claims share one level; intervals are not"
    tested, family = sum(p is not None for p in p_values.values()), len(p_values)
    if family < 2 or not tested:
        return []
    text = f"The questions are on {family} differences. Each p of theirs is corrected for all of them {how}."
    if tested < family:
        have = "has" if tested == 1 else "have"
        text = f"Of the {family} differences of the questions {tested} {have} a p, corrected for all {family} {how}."
    return [Finding("fairness", "", "", "open", text)]


def _on_looks(looks: Sequence[Look]) -> list[Finding]:
    """Say how many looks there were at a growing number of seeds, and the level of each."""
    if not looks:
        return []
    each = ", ".join(f"{level_said(look.level)} at {len(look.seeds or ())} seeds" for look in looks)
    text = (
        f"Seeds were added while they could decide a question: {len(looks)} of {looks[0].planned} planned looks were "
        f"made, at the levels {each}. The levels of all planned looks add up to {LARGEST_P}. A method's loss is the "
        "mean over its own seeds; two methods are compared at the seeds that both have."
    )
    return [Finding("fairness", "", "", "open", text)]


def _on_rows(methods: Sequence[Summary]) -> list[Finding]:
    """Warn if the intervals do not cover the sampling error of the test rows, or if one row is most of them."""
    if all(all(entry.eval_row_losses) for entry in methods if not entry.diverged):
        rows = next((losses for entry in methods for losses in entry.eval_row_losses if losses), ())
        tokens = [count for _, count in rows]
        share = max(tokens, default=0) / max(1, sum(tokens))
        if not LARGEST_SHARE < share < 1:
            return []
        text = (
            f"One test row, or group of rows that belong together, holds {share:.0%} of the target tokens: the "
            "intervals tell little of other text. Take test rows from more sources."
        )
        return [Finding("fairness", "", "", "open", text)]
    text = (
        "The losses of single test rows were not recorded in every run: intervals of those runs hold the chance of the "
        "seeds alone, not that of the test rows."
    )
    return [Finding("fairness", "", "", "open", text)]


def _on_rates(methods: Sequence[Summary], searched: Collection[str]) -> list[Finding]:
    """Warn of methods whose learning rate was not searched, and if all share one: they may need different ones."""
    rates = {entry.learning_rate for entry in methods}
    given = [entry.method for entry in methods if entry.method not in searched]
    if len(methods) < 2 or rates == {None} or not given:
        return []
    if len(rates) > 1:
        whose = f"the rate of {given[0]} is" if len(given) == 1 else f"the rates of {listed(given)} are"
        whose = whose if len(given) < len(methods) else "the learning rates are"
        text = f"No search of this comparison says how far {whose} from the best."
        return [Finding("fairness", "", "", "open", text)]
    text = (
        f"All methods trained at the same learning rate ({rates.pop():g}), and it was not searched for each: one "
        "whose best rate is another is at a disadvantage here, and the order may change once each has its own."
    )
    return [Finding("fairness", "", "", "open", text)]


def _on_terms(methods: Sequence[Summary]) -> list[Finding]:
    """Say whose training loss is no mean over tokens alone."""
    names = [entry.method for entry in methods if str((entry.adapter or {}).get("peft_type")).upper() == "ADALORA"]
    if not names:
        return []
    text = f"The training loss of {listed(names)} has AdaLoRA's own term in it: only the held-out losses compare."
    return [Finding("fairness", "", "", "open", text)]
