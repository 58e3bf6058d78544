"""What a report says beside its numbers; the page and the Markdown say the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from qweft.comparison.method_kinds import Kind
from qweft.comparison.report.content import Content
from qweft.comparison.results import BASE
from qweft.comparison.text import ANSWERS, Finding

KINDS: dict[Kind, str] = {
    "base": "untouched model",
    "lora": "LoRA",
    "hybrid": "with a circuit",
    "no_circuit": "no circuit",
    "twin": "stand-in for the circuit",
    "other": "other adapter",
}
"""What a method is, below its name."""

GROUPS = {
    "circuit": "Does the circuit help?",
    "reference": "Better than the reference, {reference}?",
    "time": "Better at equal wall-clock?",
    "size": "Better than LoRA of equal size?",
    "other": "Other methods better than {reference}?",
    "fairness": "What was not controlled",
}
"""The questions of the verdicts by their topic, in the order in which findings bring them up."""

ENVIRONMENT_NAMES = {
    "model_origin": "weights",
    "data_fingerprint": "data fingerprint",
    "device_name": "device name",
    "git_commit": "commit",
    "dtype": "type of the weights",
}

RULE = (
    "“Yes” and “no” stand where at least three seeds are paired, none diverged, and the 95% interval over seeds and "
    "test rows excludes zero (from six seeds on the sign-flip p must be at most 0.05, too); “not shown” where they do "
    "not, which is not “equal”; “open” where there is no run that could tell. Lower held-out loss is better."
)
SEARCHED = "The rates were chosen by the loss on the validation rows. The held-out rows had no part in it."


OPEN = 4
"""More answers than so many to one question are folded away below how often each was given."""

NAMED = 5
"""Up to so many methods are named where answers are counted."""


@dataclass(frozen=True)
class Answer:
    """One finding.

    Args:
        word: A value of `ANSWERS`.
        head: What stands out at its beginning; empty where nothing does.
        text: The rest of its sentences.
        details: The single comparisons that it sums up.
        tally: What these say.
    """

    word: str
    head: str
    text: str
    details: tuple["Answer", ...] = ()
    tally: str = ""


@dataclass(frozen=True)
class Question:
    """One topic of the verdicts.

    Args:
        topic: A key of `GROUPS`.
        text: The question.
        tally: How often each answer was given, and to which methods: "1 yes (qtha), 2 not shown".
        answers: What was found.
    """

    topic: str
    text: str
    tally: str
    answers: tuple[Answer, ...]

    @property
    def folded(self) -> bool:
        """Whether the answers are too many to be shown at once; those on the circuit sum up others and are shown."""
        return self.topic != "circuit" and len(self.answers) > OPEN


def questions(content: Content) -> list[Question]:
    """The verdicts, put together by what they answer, the circuit first.

    Args:
        content: The comparison.
    """
    found = []
    for topic, text in GROUPS.items():
        group = [finding for finding in content.findings if finding.topic == topic]
        if topic == "circuit":
            answers = tuple(_summed_up(finding, group) for finding in group if not finding.other)
            asked = [finding for finding in group if not finding.other]
        else:
            answers, asked = tuple(_single(finding) for finding in group), group
        if answers:
            tally = "" if len(answers) == 1 else _tally([(ANSWERS[f.direction], f.method) for f in asked])
            found.append(Question(topic, text.format(reference=content.reference), tally, answers))
    return found


def _single(finding: Finding) -> Answer:
    return Answer(ANSWERS[finding.direction], "", finding.text)


def _summed_up(finding: Finding, group: Sequence[Finding]) -> Answer:
    """Whether the circuit helps a hybrid, with the comparison with each control."""
    single = [other for other in group if other.other and other.method == finding.method]
    head, mark, rest = finding.text.partition("?")
    tally = _tally([(ANSWERS[other.direction], other.other) for other in single])
    head, rest = (head + mark, rest.strip()) if mark else ("", finding.text)
    return Answer(ANSWERS[finding.direction], head, rest, tuple(map(_single, single)), tally)


def _tally(given: Sequence[tuple[str, str]]) -> str:
    """How often each answer was given; "yes" and "no", where they are few, with the methods."""
    said = []
    for word in ANSWERS.values():
        names = [name for answer, name in given if answer == word]
        told = word in ("yes", "no") and len(names) <= NAMED and all(names)
        if names:
            said.append(f"{len(names)} {word}" + (f" ({', '.join(names)})" if told else ""))
    return ", ".join(said)


def rates(content: Content) -> list[tuple[str, str, str]]:
    """Each method's learning rate and where it comes from."""
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
    """Versions and machine under the names that a reader knows."""
    return {ENVIRONMENT_NAMES.get(key, key): str(value) for key, value in content.environment.items()}


def answers(content: Content) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """For each prompt the reference answer and what each method at its first seed made of it."""
    prompts: dict[str, tuple[str, str, list[tuple[str, str]]]] = {}
    for method in content.summary:
        first = min((run for run in content.runs if run.method == method), key=lambda run: run.seed)
        name = "untouched model" if method == BASE else f"{method}, seed {first.seed}"
        for answer in first.answers:
            prompt = str(answer.get("prompt", ""))
            shown = prompts.setdefault(prompt, (prompt, str(answer.get("reference", "")), []))
            shown[2].append((name, str(answer.get("generated", ""))))
    return list(prompts.values())


def inspected_on(content: Content) -> str:
    """What the measures of layers were taken on; empty where it is not known."""
    known: Sequence[tuple[int | None, int | None]] = [(e.rows, e.tokens) for e in content.inspected.values()]
    if not known or None in known[0]:
        return ""
    return f" Measured on {known[0][0]:,} rows, {known[0][1]:,} tokens."
