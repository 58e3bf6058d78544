"""The words of a comparison: one place that turns verdicts into text, for the terminal, the page and Markdown."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.method_kinds import core_of, maps_of
from qweft.comparison.statistics import LARGEST_P, Pairing
from qweft.comparison.summary import Summary
from qweft.comparison.verdicts import Direction, Topic, Verdict
from qweft.method.names import function_of
from qweft.text import listed, many

ANSWERS = {"lower": "yes", "higher": "no", "equivalent": "equivalent", "not decided": "not decided", "open": "open"}
"""Answer to "is it better?" by the direction of its loss."""
LARGEST_SHARE = 0.5
"""Share of the target tokens above which one test row, or group of dependent rows, is warned of."""

PAIR = "{method} better than {other} {budget}: {answer}, {numbers}, {size}."
SENTENCES: dict[tuple[Topic, Direction], str] = {
    ("circuit", "lower"): "The circuit helps: {method} is better than {controls}.",
    ("circuit", "higher"): "The circuit of {method} does not help: {controls} better, without it.",
    ("circuit", "equivalent"): "The circuit is not needed in {method}: {controls} equivalent{within}, without it.",
    ("circuit", "not decided"): "Whether the circuit of {method} helps is not decided{limit}.",
    ("circuit", "open"): "Whether the circuit of {method} helps is open: {lacking}.",
    ("size", "open"): "{method}: {lacking}.",
}
"""Verdicts on no single pair of methods; `PAIR` is for all that are."""


def text_of(verdict: Verdict) -> str:
    """Return a verdict as a sentence, with the doubt of its learning rates."""
    entry, other = verdict.entry, verdict.against
    words = {"method": verdict.method, "lacking": "; ".join(verdict.lacking)}
    if entry is None or other is None:
        template = SENTENCES[verdict.topic, verdict.direction]
        words |= _on_controls(verdict)
    else:
        template, name = PAIR, other.method
        if verdict.topic == "circuit":
            function = function_of(other.core or "linear")
            control = "{} (the same maps, no circuit)" if function is None else FUNCTIONS[function].called
            name = control.format(other.method)
        steps = (entry.steps, other.steps)
        budget = "at equal steps" if len({*steps}) == 1 else "at {} steps against {}".format(*steps)
        answer = ANSWERS[verdict.direction] + (_within(verdict.pairing) if verdict.direction == "equivalent" else "")
        words |= {"other": name, "budget": budget, "answer": answer}
        words |= {"numbers": numbers(verdict.pairing), "size": size(entry, other)}
    return " ".join(filter(None, (template.format(**words), verdict.doubt)))


def _within(pairing: Pairing) -> str:
    return f" within {pairing.margin:g}%"


def _on_controls(verdict: Verdict) -> dict[str, str]:
    """Return the words on the controls of a circuit: who they are, and how large an effect had to be to be seen."""
    controls = verdict.controls
    names = listed([each.other for each in controls] or [""])
    if verdict.direction != "lower":
        names += " is" if len(controls) == 1 else " are"
    seen = [each.pairing.visible for each in controls if each.pairing.visible is not None]
    limit = f" (smallest visible effect {effect_said(max(seen))})" if seen else ""
    if not controls:
        limit = ": no control is equivalent at its share of the level"
    within = _within(controls[0].pairing) if verdict.direction == "equivalent" else ""
    return {"controls": names, "limit": limit, "within": within}


MAPS = {"mpo": "tensor networks", "dense": "dense maps", "subspace": "fixed directions", "sparse": "chosen outputs"}
CORES = {
    "quantum": "a circuit",
    "mlp": "a perceptron",
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


def size(entry: Summary, other: Summary) -> str:
    """Return a size comparison as text: with 18% of lora's parameters."""
    if not other.trainable_parameters:
        return f"and {other.method} trains none"
    return f"with {100 * entry.trainable_parameters / other.trainable_parameters:.3g}% of {other.method}'s parameters"


def numbers(pairing: Pairing) -> str:
    """Return the mean with its interval, and in brackets each seed's difference and the test; else the reason."""
    if not any(pairing.differences):
        return pairing.reason
    look = pairing.look
    details = [f"{many(len(pairing.differences), 'seed')}: {', '.join(map(percent, pairing.differences))}"]
    if pairing.p_value is not None:
        details.append(f"p = {pairing.p_value:.3g}, corrected {pairing.corrected:.3g}")
    details.append(pairing.reason)
    if pairing.visible is not None:
        details.append(f"smallest visible effect {effect_said(pairing.visible)}")
    if look.planned > 1:
        details.append(f"look {look.number} of {look.planned} at level {look.level:.4g}")
    return f"{difference_said(pairing)} ({'; '.join(filter(None, details))})"


def percent(value: float) -> str:
    """Return a difference in percent with its sign: one decimal, below 1% two digits."""
    value = round(value, 6)
    return format(value, "+z.1f" if abs(value) >= 1 else "+z.2g")


def difference_said(pairing: Pairing) -> str:
    """Return a mean difference with its interval: +2.1% [+1.3, +2.8]."""
    interval = f" [{', '.join(map(percent, pairing.interval))}]" if pairing.interval else ""
    return f"{percent(pairing.mean or 0.0)}%{interval}"


def lower_by(pairing: Pairing) -> str:
    """Return how much lower the first method's loss is: 2.1% [1.2, 3.0] lower loss."""
    if pairing.mean is None or pairing.interval is None:
        return "lower loss"
    mean, low, high = (percent(-each).lstrip("+") for each in (pairing.mean, *reversed(pairing.interval)))
    return f"{mean}% [{low}, {high}] lower loss"


def effect_said(visible: float) -> str:
    """Return a smallest visible effect in percent, with two significant digits."""
    return f"{float(f'{visible:.2g}'):g}%"


def caveats(summary: Mapping[str, Summary], searched: Collection[str] = ()) -> list[str]:
    """Return what the comparison did not control, a sentence each."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    lines = []
    for entry in methods:
        worse = [each for each in entry.eval_losses if base and each is not None and round(each, 4) > round(base, 4)]
        if worse:
            lines.append(
                f"{entry.method} ended above the base model's loss at {len(worse)} of {len(entry.seeds)} seeds "
                f"({max(worse):.4f} against {base:.4f}). Its learning rate may be too high: try a lower one, or a "
                "search with more steps, seeds and rows."
            )
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


def judged_by(summary: Mapping[str, Summary], verdicts: Sequence[Verdict]) -> list[str]:
    """Return how the questions were judged: the correction of p for their number, and the looks at more seeds."""
    methods = [entry for entry in summary.values() if entry.kind != "base"]
    asked = {frozenset((e.method, e.other)) for e in verdicts if e.other in summary and e.topic != "claim"}
    # if the reference diverged, all pairs of methods share the level
    shared = max((look.questions for entry in methods for look in entry.looks.values()), default=1)
    count, how = len(asked), "Holm's correction"
    if shared > 1:
        count, how = shared, "Bonferroni's correction, equivalence included"
    lines = []
    if count > 1 and any(each.pairing.p_value is not None for each in verdicts):
        lines.append(f"p is corrected for {count} questions ({how}). Intervals are not corrected.")
    if methods and (made := methods[0].looks_made):
        levels = ", ".join(f"{look.level:.4g} at {len(look.seeds or ())} seeds" for look in made)
        lines.append(
            f"Seeds were added while they could decide a question: {len(made)} of {made[0].planned} planned looks, "
            f"at the levels {levels}. The levels of all planned looks add up to {LARGEST_P}."
        )
    return lines
