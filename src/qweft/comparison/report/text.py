"""The text of a report, shared by the page and the Markdown: verdicts by question, answers, and notes."""

from collections import Counter
from typing import Any

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.method_kinds import Kind
from qweft.comparison.report.content import Content
from qweft.comparison.results import BASE
from qweft.comparison.speed import load_said
from qweft.comparison.verdicts import Topic, Verdict
from qweft.comparison.wording import ANSWERS, caveats, judged_by
from qweft.method.names import TWINS, function_of

KINDS: dict[Kind, str] = {
    "base": "untouched model",
    "lora": "LoRA",
    "hybrid": "with a circuit",
    "no_circuit": "no circuit",
    "twin": "stand-in for the circuit",
    "other": "other adapter",
}
"""What a method is, printed below its name."""
QUESTIONS: dict[Topic, str] = {
    "circuit": "Does the circuit help?",
    "reference": "Better than the reference, {}?",
    "size": "Better than the LoRA nearest in size?",
    "other": "Other methods better than {}?",
    "claim": "The lowest loss against the rest (corrected for all pairs)",
}
"""Questions by topic, in report order."""

Answers = list[tuple[Verdict, list[Any]]]
"""Verdicts, each with the answers that it sums up."""


def questions(content: Content) -> list[tuple[str, Answers]]:
    """Return the verdicts grouped by question, the circuit first."""
    found = []
    for topic, text in QUESTIONS.items():
        group = [each for each in content.verdicts if each.topic == topic]
        asked = [each for each in group if topic != "circuit" or not each.other]
        if asked:
            single = [each for each in group if topic == "circuit" and each.other]
            answers: Answers = [(each, [(one, []) for one in single if one.method == each.method]) for each in asked]
            found.append((text.format(content.reference), answers))
    return found


def tally(answers: Answers) -> str:
    """Return how often each answer was given: 1 yes, 2 not decided."""
    counts = Counter(ANSWERS[verdict.direction] for verdict, _ in answers)
    return ", ".join(f"{counts[word]} {word}" for word in ANSWERS.values() if counts[word])


def examples(content: Content) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return, for each prompt, the reference answer and what each method generated at its first seed."""
    prompts: dict[str, tuple[str, str, list[tuple[str, str]]]] = {}
    for method in content.summary:
        own = sorted((run for run in content.runs if run.method == method), key=lambda run: run.seed)
        first = next((run for run in own if run.answers), own[0])  # seeds below the first one may be added
        name = "untouched model" if method == BASE else f"{method}, seed {first.seed}"
        for answer in first.answers:
            prompt = answer.get("prompt", "")
            given = prompts.setdefault(prompt, (prompt, answer.get("reference", ""), []))
            given[2].append((name, answer.get("generated", "")))
    return list(prompts.values())


def measured_on(content: Content) -> str:
    """Return a sentence on the rows and tokens of the layer measurements; empty if they are unknown."""
    first = next(iter(content.inspected.values()), None)
    if first is None or first.rows is None or first.tokens is None:
        return ""
    return f"Measured on {first.rows:,} rows, {first.tokens:,} tokens."


def environment(content: Content) -> list[tuple[str, str]]:
    """Return versions and machine, by name."""
    return [(key.replace("_", " "), str(value)) for key, value in content.environment.items()]


def notes(content: Content) -> list[str]:
    """Return what was not controlled, how the numbers were judged, and what they mean."""
    errors = [run.eval_standard_error for run in content.runs if run.eval_standard_error is not None]
    lines = [
        *caveats(content.summary, [entry.method for entry in content.search]),
        *judged_by(content.summary, content.verdicts),
        "“Yes” and “no” are differences with a corrected p of at most 0.05; “equivalent” lies within the stated margin "
        "by two one-sided tests; “not decided” is not “equal”. docs/statistics.md has the rules.",
        "Held-out loss is the mean of −log p over the target tokens of the held-out rows; perplexity is exp of "
        f"it. A difference is paired by seed and in percent of {content.reference}'s mean loss.",
        load_said(content.runs),
    ]
    if errors:
        lines.append(f"The standard error of a single run's loss over the held-out rows is up to {max(errors):.4f}.")
    if "dequant" in str(content.environment.get("model_origin", "")).lower():
        lines.append("The base model's weights were dequantised: do not compare its scores with published ones.")
    if any(entry.kind == "hybrid" for entry in content.summary.values()):
        lines.append("Circuits were simulated exactly; no quantum hardware took part.")
    for entry in content.summary.values():
        if entry.core and (function := function_of(entry.core)) in TWINS:
            lines.append(f"{entry.method} has a stand-in for the circuit: {FUNCTIONS[function].report}.")
    return lines
