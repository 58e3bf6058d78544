"""The words of a comparison: one place that turns verdicts into text, for the terminal, the page and Markdown."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.method_kinds import ALTERED_CIRCUITS, core_of, maps_of
from qweft.comparison.statistics import LARGEST_P, Look, Pairing
from qweft.comparison.summary import Summary
from qweft.comparison.verdicts import TO_BEAT, Verdict, named, percent_more
from qweft.environment import ALONE, share_said
from qweft.method.names import form_of, function_of
from qweft.text import listed

SMALLER = "a smaller difference is shown"
"""What is added to an equivalence where both hold."""
MOST_DIGITS = 6
"""Largest number of digits of a percentage or a p, where fewer would hide a sign or look like the level."""
ANSWERS = {"lower": "yes", "higher": "no", "equivalent": "equivalent", "not decided": "not decided", "open": "open"}
"""Answer to "is it better?" by the direction of its loss."""
LARGEST_SHARE = 0.5
"""Share of the target tokens above which one test row, or group of dependent rows, is warned of."""


def text_of(verdict: Verdict) -> str:
    """Return a verdict as a sentence, with the doubt of its learning rates.

    qtha better than lora (LoRA, rank 8) at equal steps: no, +2.1% [+1.3, +2.8] (3 seeds: +1.8, +2.0, +2.4; p = 0.0072;
    smallest visible effect 0.94%), with 82% fewer parameters.
    """
    if verdict.pairing is None or verdict.entry is None or verdict.against is None:
        text = (
            _on_circuit(verdict) if verdict.topic == "circuit" else f"{verdict.method}: {'; '.join(verdict.lacking)}."
        )
    else:
        entry, other = verdict.entry, verdict.against
        budget = equal_budget(entry, other) + (f" and {verdict.equal}" if verdict.equal else "")
        question = f"{entry.method} better than {_called(verdict, other)} {budget}"
        text = f"{question}: {answer(verdict.pairing)}, {numbers(verdict.pairing)}, {size(entry, other)}."
    return f"{text} {verdict.doubt}" if verdict.doubt else text


def _called(verdict: Verdict, other: Summary) -> str:
    if verdict.topic == "circuit":
        if verdict.function is None:
            return f"{named(other)} (the same maps, no circuit)"
        return FUNCTIONS[verdict.function].called.format(named(other))
    is_nearest = verdict.topic == "size" and not verdict.equal
    return f"{label(other)}, the LoRA nearest in size," if is_nearest else label(other)


def _on_circuit(verdict: Verdict) -> str:
    """Return whether a circuit helps, with the single answers, the missing controls, and what its parts add."""
    asked = [each for each in verdict.controls if each.function in TO_BEAT]
    than = [f"no circuit ({each.other})" if each.function is None else each.other for each in asked]
    answers = [f"than {name}: {ANSWERS[each.direction]}" for name, each in zip(than, asked, strict=True)]
    clauses = [*([f"better {', '.join(answers)}"] if answers else []), *verdict.lacking]
    seen = [each.visible for each in asked if each.direction == verdict.direction and each.visible is not None]
    limit = f" (smallest visible effect {effect_said(max(seen))})" if seen else ""
    if verdict.direction == "not decided" and all(each.direction != "not decided" for each in asked):
        limit = f" (none is equivalent at 1/{len(asked)} of the level, the share of each)"
    text = f"Does the circuit help {verdict.method}? {ANSWERS[verdict.direction].capitalize()}{limit}"
    parts = "".join(
        f" {FUNCTIONS[each.function].claim} (against {each.other}): {ANSWERS[each.direction]}."
        for each in verdict.controls
        if each.function in ALTERED_CIRCUITS
    )
    return f"{text}: {'; '.join(clauses)}.{parts}"


def answer(pairing: Pairing) -> str:
    """Return the answer to "is it better?", an equivalence with its margin."""
    if pairing.direction != "equivalent":
        return ANSWERS[pairing.direction]
    return f"equivalent within {pairing.margin:g}%{'' if pairing.reason else f' ({SMALLER})'}"


def label(entry: Summary) -> str:
    """Return a method's name, for a LoRA with the word LoRA and its rank."""
    if entry.kind != "lora":
        return entry.method
    return f"{entry.method} (LoRA{'' if entry.rank is None else f', rank {entry.rank}'})"


def equal_budget(entry: Summary, other: Summary) -> str:
    """Return what two methods had equal: time if one was given the other's or both a third's, else steps."""
    same_clock = entry.matches_time is not None and entry.matches_time == other.matches_time
    if same_clock or entry.matches_time == other.method or other.matches_time == entry.method:
        return "at equal wall-clock"
    return "at equal steps" if entry.steps == other.steps else f"at {entry.steps} steps against {other.steps}"


def numbers(pairing: Pairing) -> str:
    """Return the mean with its interval, and in brackets each seed's difference and the test; else the reason."""
    if not any(pairing.differences) or pairing.mean is None:
        return pairing.reason
    digits = _digits(pairing)
    count = len(pairing.differences)
    seeds = ", ".join(_signed(difference, digits) for difference in pairing.differences)
    details = "; ".join([f"{count} seed{'' if count == 1 else 's'}: {seeds}", *_doubts(pairing)])
    ends = "" if pairing.interval is None else f" [{', '.join(_signed(end, digits) for end in pairing.interval)}]"
    return f"{_signed(pairing.mean, digits)}%{ends} ({details})"


def size(entry: Summary, other: Summary) -> str:
    """Return a size comparison as text: with 82% fewer parameters."""
    percent = percent_more(entry, other)
    if entry.trainable_parameters == other.trainable_parameters:
        return "with as many parameters"
    if math.isinf(percent):
        return "which trains none"
    if percent > 300:
        return f"with {1 + percent / 100:.1f} times the parameters"
    # near zero whole percents would read "0% more"
    amount = f"{abs(percent):.0f}%" if abs(percent) >= 2 else f"{abs(percent):.1f}%"
    return f"with {amount} {'more' if percent > 0 else 'fewer'} parameters"


def _doubts(pairing: Pairing) -> list[str]:
    """Return p, the smallest visible effect and the look as text; without an interval, the reason for that."""
    if pairing.p_value is None or pairing.corrected is None or pairing.visible is None:
        return [pairing.reason]
    look = pairing.look
    plain, corrected = (p_said(value, look.level) for value in (pairing.p_value, pairing.corrected))
    details = [f"p {plain}" + (f", corrected {corrected.removeprefix('= ')}" if corrected != plain else "")]
    if pairing.reason.startswith("the sign-flip") and pairing.sign_flip is not None:
        details.append(f"sign-flip p {p_said(pairing.sign_flip)}, above {LARGEST_P}")
    details.append(f"smallest visible effect {effect_said(pairing.visible)}")
    if look.planned > 1:
        details.append(f"look {look.number} of {look.planned} at level {look.level:.4g}")
    return details


def effect_said(visible: float) -> str:
    """Return a smallest visible effect in percent, with two significant digits."""
    return f"{float(f'{visible:.2g}'):g}%"


def lower_by(pairing: Pairing) -> str:
    """Return how much lower the first method's loss is: 2.1% [1.2, 3.0] lower loss."""
    if pairing.mean is None or pairing.interval is None:
        return "lower loss"
    low, high = -pairing.interval[1], -pairing.interval[0]
    digits = 1 if abs(pairing.mean) >= 1 else 2
    while digits < MOST_DIGITS and any(end and not round(end, digits) for end in (low, high)):
        digits += 1  # no end is to look like zero
    return f"{-pairing.mean:.{digits}f}% [{low:.{digits}f}, {high:.{digits}f}] lower loss"


def _digits(pairing: Pairing) -> int:
    """Return 1 decimal, or 2 if small values would round to zero with 1, and more where a claim's end would."""
    ends = pairing.interval or ()
    large = max(map(abs, pairing.differences)) >= 1
    digits = 1 if large and all(abs(end) >= 0.05 for end in ends) else 2
    is_claimed = pairing.direction in ("lower", "higher")
    while is_claimed and digits < MOST_DIGITS and not all(round(end, digits) for end in ends):
        digits += 1
    return digits


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign; zero never has a minus."""
    return f"{value:+z.{digits}f}"


def p_said(value: float, level: float = LARGEST_P) -> str:
    """Return p after its relation, with two decimals, or with two significant digits below 0.1.

    Beside the level it takes more digits, so that the two do not look equal, and p is on its side.

    >>> p_said(0.251), p_said(0.0123), p_said(3e-7), p_said(0.0504)
    ('= 0.25', '= 0.012', '< 0.0001', '= 0.0504')
    """
    if value < 0.0001:
        return "< 0.0001"
    if value >= 0.1:
        return f"= {value:.2f}"
    for digits in range(2, MOST_DIGITS + 1):
        rounded = float(f"{value:.{digits}g}")
        if value == level or (rounded != level and (rounded > level) == (value > level)):
            break
    return f"= {value:.{digits}g}"


def caveats(summary: Mapping[str, Summary], searched: Collection[str] = ()) -> list[str]:
    """Return what the comparison did not control, a sentence each."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    lines = []
    for entry in methods:
        worse = [each for each in entry.eval_losses if base and each is not None and round(each, 4) > round(base, 4)]
        if worse and base:
            lines.append(
                f"{entry.method} ended above the base model's loss at {len(worse)} of {len(entry.seeds)} seeds "
                f"({max(worse):.4f} against {base:.4f}). Its learning rate may be too high: try a lower one, or a "
                "search with more steps, seeds and rows."
            )
        if entry.matches_time is not None and (entry.matched_beside or 0) > ALONE:
            lines.append(
                f"The step times that set the steps of {entry.method} were not measured alone: other processes took "
                f"{share_said(entry.matched_beside)} of the processors."
            )
    rates = {entry.learning_rate for entry in methods}
    unsearched = [entry.method for entry in methods if entry.method not in searched]
    if len(methods) > 1 and len(rates) == 1 and rates != {None} and unsearched:
        lines.append(
            f"All methods trained at one learning rate ({rates.pop():g}), which was not searched. A method with "
            "another best rate is at a disadvantage."
        )
    ada = [each.method for each in methods if str((each.adapter or {}).get("peft_type")).upper() == "ADALORA"]
    if ada:
        lines.append(f"The training loss of {listed(ada)} includes AdaLoRA's own term: compare the held-out losses.")
    if any(not all(entry.eval_row_losses) for entry in methods if not entry.diverged):
        lines.append(
            "Some runs did not record the loss of each test row: their intervals cover the chance of the seeds alone."
        )
        return lines
    rows = next((losses for entry in methods for losses in entry.eval_row_losses if losses), ())
    tokens = [count for _, count in rows]
    share = max(tokens, default=0) / max(1, sum(tokens))
    if LARGEST_SHARE < share < 1:
        lines.append(
            f"One test row, or group of dependent rows, holds {share:.0%} of the target tokens: take test rows from "
            "more sources."
        )
    return lines


def judged_by(summary: Mapping[str, Summary], verdicts: Sequence[Verdict]) -> list[str]:
    """Return how the questions were judged: the correction of p for their number, and the looks at more seeds."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    pairs = {
        frozenset((each.method, each.other)) for each in verdicts if each.other in summary and each.topic != "claim"
    }
    how = "Holm's correction"
    strict = {
        frozenset((entry.method, other))
        for entry in methods
        for other, look in entry.looks.items()
        if look.questions > 1
    }
    if strict:  # if the reference diverged, these are all pairs of methods
        pairs, how = strict, "Bonferroni's correction, equivalence included"
    lines = []
    if len(pairs) > 1 and any(each.p_value is not None for each in verdicts):
        lines.append(f"p is corrected for {len(pairs)} questions ({how}). Intervals are not corrected.")
    looks: Sequence[Look] = methods[0].looks_made if methods else ()
    if looks:
        each = ", ".join(f"{look.level:.4g} at {len(look.seeds or ())} seeds" for look in looks)
        lines.append(
            f"Seeds were added while they could decide a question: {len(looks)} of {looks[0].planned} planned looks, "
            f"at the levels {each}. The levels of all planned looks add up to {LARGEST_P}."
        )
    return lines


MAPS = {
    ("mpo", "mpo"): "tensor networks",
    ("dense", "dense"): "dense maps",
    ("subspace", "subspace"): "subspaces",
    ("subspace", "sparse"): "a subspace and a sparse map",
}
IN_WORDS = {
    "quantum": "a circuit",
    "mlp": "a perceptron in the circuit's place",
    "fourier": "a Fourier series in the circuit's place",
    "frozen": "a circuit that is not trained",
    "product": "a circuit without entanglement",
    "bias": "a constant in the circuit's place",
}
FORMS = {"": "{}", "linear": "{}, added to a linear map", "weighted": "{}, as a weight", "gated": "{}, as a gate"}
"""Maps, functions and forms of a core in the words of a sentence."""


def kind_said(adapter: Mapping[str, Any]) -> str:
    """Return what an adapter is in a few words."""
    core, maps = core_of(adapter), maps_of(adapter)
    if core is None or maps is None:
        kind = str(adapter.get("peft_type")).upper()
        if kind == "LORA":
            return f"{'DoRA' if adapter.get('use_dora') else 'LoRA'}, rank {adapter.get('r', 8)}"
        return f"{kind} of PEFT"
    around = MAPS.get(maps, f"maps {maps[0]} and {maps[1]}")
    function = function_of(core)
    if function is None:
        return f"{around}, {'a linear map' if core == 'linear' else 'nothing'} between"
    return f"{around}, between them {FORMS[form_of(core)].format(IN_WORDS.get(function, function))}"
