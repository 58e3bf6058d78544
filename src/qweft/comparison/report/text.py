"""The text of a report, shared by the page and the Markdown: answers, rates, and notes on the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.method_kinds import Kind
from qweft.comparison.phrases import ANSWERS, Finding
from qweft.comparison.report.content import Content
from qweft.comparison.results import BASE
from qweft.comparison.speed import load_said
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
    "claim": "The lowest loss against other methods: pairs that are no question (corrected for all pairs)",
    "fairness": "What was not controlled",
}
"""Questions by topic, in report order."""

ENVIRONMENT_NAMES = {
    "model_origin": "weights",
    "data_fingerprint": "data fingerprint",
    "device_name": "device name",
    "git_commit": "commit",
    "dtype": "type of the weights",
}

RULE = (
    "“Yes” and “no” stand where at least three seeds are paired, none diverged, and p, corrected for all questions, "
    "is at most 0.05 or the level of its look (from six seeds on the sign-flip p must be at most 0.05, too); "
    "“equivalent”, which comes before them, where a margin was stated and two one-sided tests at that level place the "
    "difference within it; “not decided” otherwise, which is not “equal”: the smallest visible effect has p at most "
    "0.05, uncorrected, with 80% power; “open” where there is no run that could tell. The interval of 95% is over "
    "seeds and test rows, uncorrected. Lower held-out loss is better."
)
SEARCHED = (
    "The rates were chosen by the loss on the validation rows. The held-out rows had no part in it. The loss at "
    "the chosen rate may exceed that at the optimum by what the parabola through the best rate and its neighbours and "
    "the spread over seeds tell at 95%. “Or more” stands where the spread is not known: one seed was tried, or "
    "single seeds were not recorded. “Not known” stands where the best rate lies at an end of what was tried, or "
    "beside one at which the loss jumps."
)


OPEN = 4
"""Above this number, the answers to one question are collapsed below a tally."""

NAMED = 5
"""Largest number of methods that a tally lists by name."""


@dataclass(frozen=True)
class Answer:
    """One finding."""

    word: str
    head: str
    text: str
    details: tuple["Answer", ...] = ()
    tally: str = ""


@dataclass(frozen=True)
class Question:
    """One topic of the findings."""

    topic: str
    text: str
    tally: str
    answers: tuple[Answer, ...]

    @property
    def folded(self) -> bool:
        """Whether the answers are too many to show at once. Those on the circuit are summaries and always shown."""
        return self.topic != "circuit" and len(self.answers) > OPEN


def questions(content: Content) -> list[Question]:
    """Return the findings grouped by question, the circuit first."""
    found = []
    for topic, text in GROUPS.items():
        group = [finding for finding in content.findings if finding.topic == topic]
        if topic == "circuit":
            answers = tuple(_summed_up(finding, group) for finding in group if not finding.other)
            asked = [finding for finding in group if not finding.other]
        else:
            answers, asked = tuple(_single(finding) for finding in group), group
        if answers:
            told = [(ANSWERS[f.direction], f.other if topic == "claim" else f.method) for f in asked]
            tally = "" if len(answers) == 1 else _tally(told)
            found.append(Question(topic, text.format(reference=content.reference), tally, answers))
    return found


def _single(finding: Finding) -> Answer:
    return Answer(ANSWERS[finding.direction], "", finding.text)


def _summed_up(finding: Finding, group: Sequence[Finding]) -> Answer:
    """Return whether the circuit helps a hybrid, with the comparison with each control as details."""
    single = [other for other in group if other.other and other.method == finding.method]
    head, mark, rest = finding.text.partition("?")
    tally = _tally([(ANSWERS[other.direction], other.other) for other in single])
    head, rest = (head + mark, rest.strip()) if mark else ("", finding.text)
    return Answer(ANSWERS[finding.direction], head, rest, tuple(map(_single, single)), tally)


def _tally(given: Sequence[tuple[str, str]]) -> str:
    """Return how often each answer was given; "yes" and "no" list the methods if they are few."""
    said = []
    for word in ANSWERS.values():
        names = [name for answer, name in given if answer == word]
        told = word in ("yes", "no") and len(names) <= NAMED and all(names)
        if names:
            said.append(f"{len(names)} {word}" + (f" ({', '.join(names)})" if told else ""))
    return ", ".join(said)


def rates(content: Content) -> list[tuple[str, str, str]]:
    """Return each method's learning rate and its source."""
    methods = content.config.get("methods")
    searched = {entry.method: entry.best for entry in content.search}
    rows = []
    for entry in content.summary.values():
        if entry.kind == "base" or entry.learning_rate is None:
            continue
        own = methods.get(entry.method) if isinstance(methods, dict) else None
        if searched.get(entry.method) == entry.learning_rate:
            source = "searched on the validation rows"
        elif not isinstance(methods, dict):
            source = "not recorded"
        elif isinstance(own, dict) and own.get("learning_rate") is not None:
            source = "set for this method in the configuration below"
        elif isinstance(own, dict) and own.get("rate_of") is not None:
            source = f"that of {own['rate_of']}"
        else:
            source = "the training section's, shared"
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
    known: Sequence[tuple[int | None, int | None]] = [(e.rows, e.tokens) for e in content.inspected.values()]
    if not known or None in known[0]:
        return ""
    return f" Measured on {known[0][0]:,} rows, {known[0][1]:,} tokens."


class Note(NamedTuple):
    """One or two sentences, with an optional bold beginning, set off by a space."""

    text: str
    bold: str = ""


MEASURED = Note("All numbers were measured by this comparison. None is a claim of the paper that proposed the method.")
DEQUANTISED = Note(
    "(see “weights” above): its scores are not comparable to published scores of the original model. Methods are "
    "compared with each other on the same weights.",
    "The base model's weights were dequantised",
)
ORIGINAL = Note(
    "Scores of weights that were dequantised are not comparable to published scores of the original model; “weights” "
    "above says where these came from."
)
SEEDS = Note(
    "The seeds vary the adapter's start and the order of the data, not the held-out rows and not the base model."
)
TIMES = (
    "In brackets beside a time of a step: the share of the processors that other processes took meanwhile, ? where it "
    "was not recorded. A ratio to the reference is given only where times were measured alone and its interval leaves "
    "out 1."
)
CIRCUITS = Note(
    "Circuits were simulated exactly; no quantum hardware took part. Where a method has a linear map of its own after "
    "the circuit, a gain over the network without a circuit may come from that map: a stand-in of equal size tells the "
    "two apart."
)


def notes(content: Content) -> list[Note]:
    """Return the notes of a comparison, those on its controls last."""
    dequantised = "dequant" in str(content.environment.get("model_origin", "")).lower()
    has_circuit = any(entry.kind == "hybrid" for entry in content.summary.values())
    return [
        MEASURED,
        DEQUANTISED if dequantised else ORIGINAL,
        _on_differences(content.reference),
        *_on_rows(content),
        Note(TIMES, load_said(content.runs)),
        SEEDS,
        *([CIRCUITS] if has_circuit else []),
        *(Note(f"has a stand-in where others have the circuit: {what}.", name) for name, what in controls(content)),
    ]


def controls(content: Content) -> list[tuple[str, str]]:
    """Return the methods that are controls with a replacement for the circuit, each with its description."""
    cores = {run.method: str((run.adapter or {}).get("core", "")) for run in content.runs}
    functions = {method: core.partition("_")[0] for method, core in cores.items()}
    return [(method, FUNCTIONS[function].report) for method, function in functions.items() if function in TWINS]


def _on_differences(reference: str) -> Note:
    return Note(
        "Held-out loss is the mean of −log p over all target tokens of the held-out rows; perplexity is exp of the "
        f"mean loss over seeds. A difference is the mean over seeds of (loss − {reference}'s loss at the same seed), "
        f"as a share of {reference}'s mean."
    )


def _on_rows(content: Content) -> list[Note]:
    errors = [run.eval_standard_error for run in content.runs if run.eval_standard_error is not None]
    if not errors:
        return []
    return [
        Note(
            "The held-out rows are a sample too: the standard error of a single run's loss over rows is up to "
            f"{max(errors):.4f} nats. All methods are judged on the same rows, so it does not carry over in full to "
            "their differences; differences far below it deserve more rows."
        )
    ]
