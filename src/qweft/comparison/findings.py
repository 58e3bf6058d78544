"""What a comparison shows, in plain sentences, and what it does not show."""

from collections.abc import Mapping, Sequence

from qweft.comparison.controls import circuit_findings
from qweft.comparison.summary import Summary
from qweft.comparison.text import Finding, distance, equal_budget, held_against, label, percent_more

SAME_SIZE = 10.0
"""Two methods whose numbers of parameters differ by at most so many percent count as equal in size."""

FEW = 5
"""Up to so many differences the reader can weigh without a word on how many were tested."""

IMPORTANCE = ("circuit", "reference", "time", "size", "control", "other", "fairness")
"""The order of topics, single controls of the circuit by themselves: a reader sees first what matters most."""


def verdicts(summary: Mapping[str, Summary]) -> list[str]:
    """The findings as plain sentences.

    They begin with yes, no or not shown, by the rule in `Pairing`; the mean difference has its interval, every seed's
    difference and p in the sentence. docs/statistics.md has what they mean and what they cannot tell.

    Args:
        summary: From `summarise`.
    """
    return [finding.text for finding in findings(summary)]


def findings(summary: Mapping[str, Summary]) -> list[Finding]:
    """The answers, most important first: does the circuit help, the hybrids against LoRA, the other methods, fairness.

    Args:
        summary: From `summarise`.
    """
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
    found.extend(_on_spoiled(methods, base) + _on_number(found) + _on_rows(methods) + _on_rates(methods))
    return sorted(found, key=_importance)


def in_short(found: Sequence[Finding]) -> list[str]:
    """The answers for a terminal: on the circuit as a whole, on LoRA, and what was not controlled; the rest counted."""
    shown = [f for f in found if f.topic not in ("other", "circuit") or (f.topic == "circuit" and not f.other)]
    left = len(found) - len(shown)
    rest = [f"{left} more answers, on single controls and other methods, are in the report."] if left else []
    return [finding.text for finding in shown] + rest


def _importance(finding: Finding) -> int:
    """The place of a finding's topic; one control is a detail of what all of them say together."""
    return IMPORTANCE.index("control" if finding.topic == "circuit" and finding.other else finding.topic)


def _on_reference(entry: Summary, reference: Summary | None) -> list[Finding]:
    """A method against the reference, where both have the same budget."""
    if reference is None:
        text = f"{entry.method}: nothing to compare with, as the reference {entry.reference} has no run."
        return [Finding("reference", entry.method, entry.reference, "open", text)]
    if entry.matches_time not in (reference.matches_time, reference.method):
        return []  # given the time of a third method: its steps are not the reference's
    return [held_against("reference" if entry.kind == "hybrid" else "other", entry, reference)]


def _on_time(entry: Summary, other: Summary | None) -> list[Finding]:
    """A method that was given another one's time, against that one; the hybrid is the one in question."""
    if other is None:
        text = f"{entry.method}: nothing to compare with, as {entry.matches_time}, whose time it was given, has no run."
        return [Finding("time", entry.method, str(entry.matches_time), "open", text)]
    if other.kind == "hybrid" and entry.kind != "hybrid":
        entry, other = other, entry
    return [held_against("time", entry, other)]


def _on_size(hybrid: Summary, methods: Sequence[Summary], reference: Summary | None) -> list[Finding]:
    """A hybrid against the LoRA whose number of parameters is nearest to its own, at the same budget."""
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
        return []  # said already: the reference is of equal size
    name = label(nearest) if equal else f"{label(nearest)}, the LoRA nearest in size,"
    budget = equal_budget(hybrid, nearest)
    return [held_against("size", hybrid, nearest, name, f"{budget} and size" if equal else budget)]


def _on_spoiled(methods: Sequence[Summary], base: Summary | None) -> list[Finding]:
    """A warning for each method that training made worse than the base model: the rate may be at fault."""
    untouched = None if base is None else base.eval_loss
    if untouched is None:
        return []
    found = []
    for entry in methods:
        worse = [loss for loss in entry.eval_losses if loss is not None and loss > untouched]
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


def _on_number(found: Sequence[Finding]) -> list[Finding]:
    """A warning where so many differences were tested that some are shown by chance."""
    tested = sum(finding.difference is not None for finding in found)
    if tested <= FEW:
        return []
    text = (
        f"{tested} differences were tested: at 95%, one in twenty of those that are none is shown by chance alone, so "
        "a single answer weighs less than one that several comparisons give."
    )
    return [Finding("fairness", "", "", "open", text)]


def _on_rows(methods: Sequence[Summary]) -> list[Finding]:
    """A warning where the chance of the test rows is not in the intervals."""
    if all(all(entry.eval_row_losses) for entry in methods if not entry.diverged):
        return []
    text = (
        "The losses of single test rows were not recorded in every run: intervals of those runs hold the chance of the "
        "seeds alone, not that of the test rows."
    )
    return [Finding("fairness", "", "", "open", text)]


def _on_rates(methods: Sequence[Summary]) -> list[Finding]:
    """A warning where one learning rate served methods that may need different ones."""
    rates = {entry.learning_rate for entry in methods}
    if len(methods) < 2 or len(rates) > 1 or rates == {None}:
        return []
    text = (
        f"All methods trained at the same learning rate ({rates.pop():g}): one whose best rate is another is at a "
        "disadvantage here, so this order may change once each has its own."
    )
    return [Finding("fairness", "", "", "open", text)]
