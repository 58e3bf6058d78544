"""The words of a comparison: one place that turns verdicts into text, for the terminal, the page and Markdown."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.judge.statistics import SIGNIFICANCE_LEVEL, PairedComparison
from qweft.comparison.judge.summary import Summary
from qweft.comparison.judge.verdicts import Direction, Topic, Verdict
from qweft.comparison.method_kinds import core_of, maps_of
from qweft.core.text import many
from qweft.method.names import function_of

ANSWERS = {"lower": "yes", "higher": "no", "equivalent": "equivalent", "not decided": "not decided", "open": "open"}
"""Answer to "is it better?" by the direction of its loss."""
LARGEST_SHARE = 0.5
"""Share of the target tokens above which one test row, or group of dependent rows, is warned of."""

SENTENCES: dict[tuple[Topic, Direction], str] = {
    ("circuit", "lower"): "The circuit helps: {method} is better than {controls}.",
    ("circuit", "higher"): "The circuit of {method} does not help: without it, {controls} did better.",
    ("circuit", "equivalent"): "The circuit is not needed in {method}: without it, {controls} did as well.",
    ("circuit", "not decided"): "Whether the circuit of {method} helps is not decided{limit}.",
    ("circuit", "open"): "Whether the circuit of {method} helps is open: {lacking}.",
    ("size", "open"): "{method}: {lacking}.",
}
"""Verdicts on no single pair of methods."""


def text_of(verdict: Verdict) -> str:
    """Return a verdict as a sentence, with the doubt of its learning rates."""
    entry, other, pairing = verdict.entry, verdict.against, verdict.pairing
    if entry is None or other is None:
        sentence = SENTENCES[verdict.topic, verdict.direction].format(
            method=verdict.method,
            controls=", ".join(each.other for each in verdict.controls),
            limit=limit_said([each.pairing for each in verdict.controls]),
            lacking="; ".join(verdict.lacking),
        )
    else:
        name, answer = other.method, ANSWERS[verdict.direction]
        if verdict.topic == "circuit":
            function = function_of(other.core or "linear")
            name = f"{name} (no circuit)" if function is None else FUNCTIONS[function].called.format(name)
        if verdict.direction == "equivalent" and pairing.equivalence is not None:
            answer = f"equivalent within {pairing.equivalence.margin:g}%"
        steps = "equal steps" if entry.steps == other.steps else f"{entry.steps} steps against {other.steps}"
        share = 100 * entry.trainable_parameters / other.trainable_parameters
        sentence = (
            f"{verdict.method} better than {name} at {steps}: {answer}, {numbers(pairing)}, with {share:.3g}% of "
            f"{other.method}'s parameters."
        )
    return f"{sentence} {verdict.doubt}".rstrip()


def limit_said(pairings: Sequence[PairedComparison]) -> str:
    """Return in brackets how large a difference had to be to be seen, or why none could be."""
    effects = [effect for effect in (pairing.minimum_detectable_effect for pairing in pairings) if effect is not None]
    if effects:
        return f" (minimum detectable effect {effect_said(max(effects))})"
    return f" ({pairings[0].reason})" if pairings else ""


MAPS = {"mpo": "tensor networks", "dense": "dense maps", "subspace": "fixed directions", "sparse": "chosen outputs"}
CORES = {
    "quantum": "a circuit",
    "mlp": "a perceptron",
    "silu": "a perceptron without biases",
    "fourier": "a Fourier series",
    "frozen": "an untrained circuit",
    "product": "a circuit without entanglement",
    "bias": "a constant",
}
"""Maps and functions of a core in the words of a sentence."""


def kind_said(adapter: Mapping[str, Any]) -> str:
    """Return what an adapter is in a few words: tensor networks around a circuit."""
    core, maps = core_of(adapter), maps_of(adapter)
    if core is not None and maps is not None:
        around, function = " and ".join(MAPS.get(each, each) for each in dict.fromkeys(maps)), function_of(core)
        return f"{around} {'without a circuit' if function is None else f'around {CORES.get(function, function)}'}"
    kind = str(adapter.get("peft_type")).upper()
    if kind == "LORA":
        return f"{'DoRA' if adapter.get('use_dora') else 'LoRA'}, rank {adapter.get('r', 8)}"
    return f"{kind} of PEFT"


def called(entry: Summary) -> str:
    """Return a method's name with what it is: lora_all (LoRA, rank 8 on all linear layers)."""
    where = (entry.adapter or {}).get("target_modules")
    place = "all linear layers" if where == "all-linear" else " ".join(where) if isinstance(where, list) else where
    return f"{entry.method} ({kind_said(entry.adapter or {})}{f' on {place}' if place else ''})"


def numbers(pairing: PairedComparison) -> str:
    """Return the mean with its interval, and in brackets each seed's difference and the test; else the reason."""
    differences, difference, equivalence = pairing.paired.differences, pairing.difference, pairing.equivalence
    if not any(differences):
        return pairing.reason
    details = [f"{many(len(differences), 'seed')}: {', '.join(map(percent, differences))}"]
    if difference is not None:
        details.append(f"p = {difference.p_value:.3g}, corrected {difference.corrected_p:.3g}")
    if equivalence is not None and pairing.direction in ("equivalent", "not decided"):
        details.append(f"p of equivalence = {equivalence.p_value:.3g}, corrected {equivalence.corrected_p:.3g}")
    if pairing.direction == "not decided":
        details.append(pairing.reason)
    if pairing.minimum_detectable_effect is not None:
        details.append(f"minimum detectable effect {effect_said(pairing.minimum_detectable_effect)}")
    analysis = pairing.analysis
    if analysis.planned > 1:
        details.append(f"interim analysis {analysis.number} of {analysis.planned} at level {analysis.level:.4g}")
    return f"{difference_said(pairing)} ({'; '.join(details)})"


def percent(value: float) -> str:
    """Return a difference in percent with its sign: one decimal, below 1% two digits."""
    value = round(value, 6)
    return format(value, "+z.1f" if abs(value) >= 1 else "+z.2g")


def difference_said(pairing: PairedComparison) -> str:
    """Return a mean difference with its interval: +2.1% [+1.3, +2.8]."""
    interval = f" [{', '.join(map(percent, pairing.interval))}]" if pairing.interval else ""
    return f"{percent(pairing.mean or 0.0)}%{interval}"


def lower_by(pairing: PairedComparison) -> str:
    """Return how much lower the first method's loss is: 2.1% [1.2, 3.0] lower loss."""
    if pairing.mean is None or pairing.interval is None:
        return "lower loss"
    mean, low, high = (percent(-each).lstrip("+") for each in (pairing.mean, *reversed(pairing.interval)))
    return f"{mean}% [{low}, {high}] lower loss"


def effect_said(effect: float) -> str:
    """Return a minimum detectable effect in percent, with two significant digits."""
    return f"{float(f'{effect:.2g}'):g}%"


def caveats(summary: Mapping[str, Summary], searched: Collection[str] = ()) -> list[str]:
    """Return what the comparison did not control, a sentence each."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    lines = [
        f"{entry.method} ended above the base model's loss ({entry.eval_loss:.4f} against {base:.4f}). Its learning "
        "rate may be too high: try a lower one, or a search with more steps, seeds and rows."
        for entry in methods
        if base is not None and entry.eval_loss is not None and round(entry.eval_loss - base, 4) > 0
    ]
    rates = {entry.learning_rate for entry in methods}
    if len(methods) > 1 and len(rates) == 1 and rates != {None} and {each.method for each in methods} - {*searched}:
        lines.append(
            f"All methods trained at one learning rate ({rates.pop():g}), which was not searched. A method with "
            "another best rate is at a disadvantage."
        )
    tokens = [count for _, count in next((rows for entry in methods for rows in entry.eval_row_losses if rows), ())]
    share = max(tokens, default=0) / max(1, sum(tokens))
    if LARGEST_SHARE < share < 1:
        lines.append(
            f"One test row, or group of dependent rows, holds {share:.0%} of the target tokens: take test rows from "
            "more sources."
        )
    return lines


def judged_by(summary: Mapping[str, Summary], is_strict: bool) -> list[str]:
    """Return how the questions were judged: the correction of p for their number, and the interim analyses."""
    correction = "Bonferroni's correction" if is_strict else "Holm's correction"
    lines = [
        f"p is corrected for the number of questions ({correction}), that of equivalence likewise. Intervals are not "
        "corrected."
    ]
    if made := next((entry.analyses_made for entry in summary.values()), ()):
        levels = ", ".join(f"{analysis.level:.4g} at {len(analysis.seeds or ())} seeds" for analysis in made)
        lines.append(
            f"Seeds were added while they could decide a question: {len(made)} of {made[0].planned} planned "
            f"interim analyses, at the levels {levels}. The levels of all planned ones add up to {SIGNIFICANCE_LEVEL}."
        )
    return lines
