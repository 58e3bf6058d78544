"""The text of a report, shared by the page and the Markdown: verdicts by question, rates, and notes on the numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.method_kinds import Kind
from qweft.comparison.report.content import Content
from qweft.comparison.results import BASE
from qweft.comparison.speed import load_said
from qweft.comparison.verdicts import Verdict
from qweft.comparison.wording import ANSWERS, caveats, judged_by, text_of
from qweft.method.names import TWINS

KINDS: dict[Kind, str] = {
    "base": "untouched model",
    "lora": "LoRA",
    "hybrid": "with a circuit",
    "no_circuit": "no circuit",
    "twin": "stand-in for the circuit",
    "other": "other adapter",
}
"""What a method is, printed below its name."""
GROUPS = {
    "circuit": "Does the circuit help?",
    "reference": "Better than the reference, {reference}?",
    "time": "Better at equal wall-clock?",
    "size": "Better than the LoRA nearest in size?",
    "other": "Other methods better than {reference}?",
    "claim": "The lowest loss against the rest (corrected for all pairs)",
}
"""Questions by topic, in report order."""
ENVIRONMENT_NAMES = {
    "model_origin": "weights",
    "data_fingerprint": "data fingerprint",
    "device_name": "device name",
    "git_commit": "commit",
    "dtype": "type of the weights",
}
SEARCHED = (
    "Rates were chosen on the validation rows alone. “May fall short by” is how far the loss at the chosen rate may be "
    "above the optimum (95%): from the parabola through the best rate and its neighbours, and the spread over seeds. "
    "With one seed the spread is not known: “or more”."
)
OPEN = 4
"""Above this number, the answers to one question are folded below a tally."""
NAMED = 5
"""Largest number of methods that a tally lists by name."""


class Answer(NamedTuple):
    """A verdict as a report shows it: the word of its answer, its sentence, and the verdicts that it sums up."""

    word: str
    text: str
    details: tuple["Answer", ...] = ()
    tally: str = ""


class Question(NamedTuple):
    """One topic with its answers, and how often each was given: "1 yes (qtha), 2 not decided"."""

    topic: str
    text: str
    tally: str
    answers: tuple[Answer, ...]

    @property
    def folded(self) -> bool:
        """Whether the answers are too many to show at once. Those on the circuit are summaries and always shown."""
        return self.topic != "circuit" and len(self.answers) > OPEN


def questions(content: Content) -> list[Question]:
    """Return the verdicts grouped by question, the circuit first."""
    found = []
    for topic, text in GROUPS.items():
        group = [each for each in content.verdicts if each.topic == topic]
        asked = [each for each in group if not each.other] if topic == "circuit" else group
        answers = tuple(_answer(each, group) for each in asked)
        if answers:
            names = [(ANSWERS[each.direction], each.other if topic == "claim" else each.method) for each in asked]
            tally = "" if len(answers) == 1 else _tally(names)
            found.append(Question(topic, text.format(reference=content.reference), tally, answers))
    return found


def _answer(verdict: Verdict, group: Sequence[Verdict]) -> Answer:
    single = [e for e in group if e.other and e.method == verdict.method] if verdict.controls else []
    tally = _tally([(ANSWERS[each.direction], each.other) for each in single])
    details = tuple(Answer(ANSWERS[each.direction], text_of(each)) for each in single)
    return Answer(ANSWERS[verdict.direction], text_of(verdict), details, tally)


def _tally(given: Sequence[tuple[str, str]]) -> str:
    """Return how often each answer was given; "yes" and "no" list the methods if they are few."""
    parts = []
    for word in ANSWERS.values():
        names = [name for answer, name in given if answer == word]
        listed = word in ("yes", "no") and len(names) <= NAMED and all(names)
        if names:
            parts.append(f"{len(names)} {word}" + (f" ({', '.join(names)})" if listed else ""))
    return ", ".join(parts)


def rates(content: Content) -> list[tuple[str, str, str]]:
    """Return each method's learning rate and its source."""
    methods = content.config.get("methods")
    searched = {entry.method: entry.best for entry in content.search}
    rows = []
    for entry in content.summary.values():
        if entry.kind == "base" or entry.learning_rate is None:
            continue
        own = methods.get(entry.method) if isinstance(methods, dict) else None
        own = own if isinstance(own, dict) else {}
        source = "the training section's, shared" if isinstance(methods, dict) else "not recorded"
        if searched.get(entry.method) == entry.learning_rate:
            source = "searched on the validation rows"
        elif own.get("learning_rate") is not None:
            source = "set for this method in the configuration below"
        elif own.get("rate_of") is not None:
            source = f"that of {own['rate_of']}"
        rows.append((entry.method, f"{entry.learning_rate:g}", source))
    return rows


def environment(content: Content) -> dict[str, str]:
    """Return versions and machine under names that a reader knows."""
    return {ENVIRONMENT_NAMES.get(key, key): str(value) for key, value in content.environment.items()}


def answers(content: Content) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return, for each prompt, the reference answer and what each method generated at its first seed."""
    prompts: dict[str, tuple[str, str, list[tuple[str, str]]]] = {}
    for method in content.summary:
        own = sorted((run for run in content.runs if run.method == method), key=lambda run: run.seed)
        first = next((run for run in own if run.answers), own[0])  # seeds below the first one may be added
        name = "untouched model" if method == BASE else f"{method}, seed {first.seed}"
        for answer in first.answers:
            prompt = str(answer.get("prompt", ""))
            shown = prompts.setdefault(prompt, (prompt, str(answer.get("reference", "")), []))
            shown[2].append((name, str(answer.get("generated", ""))))
    return list(prompts.values())


def inspected_on(content: Content) -> str:
    """Return a sentence on the rows and tokens of the layer measurements; empty if they are unknown."""
    first = next(iter(content.inspected.values()), None)
    if first is None or first.rows is None or first.tokens is None:
        return ""
    return f" Measured on {first.rows:,} rows, {first.tokens:,} tokens."


def notes(content: Content) -> list[str]:
    """Return what was not controlled, how the numbers were judged, and what they mean."""
    errors = [run.eval_standard_error for run in content.runs if run.eval_standard_error is not None]
    has_circuit = any(entry.kind == "hybrid" for entry in content.summary.values())
    is_dequantised = "dequant" in str(content.environment.get("model_origin", "")).lower()
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
        lines.append(
            f"The standard error of a single run's loss over the held-out rows is up to {max(errors):.4f} nats."
        )
    if is_dequantised:
        lines.append(
            "The base model's weights were dequantised: its scores do not compare with published ones of the original."
        )
    if has_circuit:
        lines.append("Circuits were simulated exactly; no quantum hardware took part.")
    lines += [f"{name} has a stand-in where others have the circuit: {what}." for name, what in controls(content)]
    return lines


def controls(content: Content) -> list[tuple[str, str]]:
    """Return the methods that are controls with a replacement for the circuit, each with its description."""
    cores = {run.method: str((run.adapter or {}).get("core", "")) for run in content.runs}
    functions = {method: core.partition("_")[0] for method, core in cores.items()}
    return [(method, FUNCTIONS[function].report) for method, function in functions.items() if function in TWINS]
