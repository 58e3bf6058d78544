"""`Content`: what the page and the Markdown of a report say, parsed from results.json."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from qweft.adapter.attach import adapter_config
from qweft.adapter.config import QwthnConfig
from qweft.adapter.functions import FUNCTIONS, make_function
from qweft.circuit import Circuit
from qweft.comparison.judge.searches import Search, describe_doubts, read_searches, with_doubts
from qweft.comparison.judge.statistics import SINGLE_ANALYSIS, InterimAnalysis
from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.summary import Summary
from qweft.comparison.judge.verdicts import Topic, Verdict, answer_questions, compare_best
from qweft.comparison.report.decision import Recommendation, describe_conclusion
from qweft.comparison.report.figures import curves_figure, emphasised, forest_figure, pareto_figure, search_figure
from qweft.comparison.report.wording import ANSWERS, caveats, judged_by
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import changed_said
from qweft.comparison.timing import load_said
from qweft.core.errors import QweftError
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import Style, styles
from qweft.inspect.measures import Inspection, inspections
from qweft.method.names import TWINS, function_of, has_circuit

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
Figures = dict[str, list[ReportFigure]]
"""The figures of a report by its section, in report order."""


@dataclass(frozen=True)
class Content:
    """One comparison, as a report shows it."""

    title: str
    runs: tuple[Run, ...]
    summary: dict[str, Summary]
    reference: str
    environment: dict[str, str]  # without unknown values
    config_yaml: str
    search: list[Search]
    inspected: dict[str, Inspection]
    planned_runs: int | None
    recommendation: Recommendation | None
    changed: str  # empty if the plan is the first results'

    @classmethod
    def read(cls, results: Mapping[str, Any]) -> "Content":
        """Parse results.json. Malformed ones raise an error of any kind, which `reading` turns into words."""
        records = results.get("runs", [])
        runs = tuple(Run.from_json(record) for record in records)
        if not runs:
            raise QweftError("there is no run to report on")
        first: Mapping[str, Any] = next(iter((results.get("summary") or {}).values()), {})
        made = first.get("looks_made") or [SINGLE_ANALYSIS]
        analyses = TypeAdapter(list[InterimAnalysis]).validate_python(made)
        use = results.get("recommendation")
        environment = results.get("environment") or {}
        reference, margin = str(first.get("reference") or "lora"), first.get("equivalent_within")
        return cls(
            title=str(results.get("title") or f"{runs[0].model} on {runs[0].data}"),
            runs=runs,
            summary=summarise(runs, reference, margin, analyses, bool(use)),
            reference=reference,
            environment={key.replace("_", " "): str(value) for key, value in environment.items() if value is not None},
            config_yaml=str(results.get("config_yaml") or ""),
            search=read_searches(results.get("search")),
            inspected=inspections(records),
            planned_runs=results.get("planned_runs"),
            recommendation=use and Recommendation(**use),
            changed=changed_said(results),
        )

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts, then what the conclusion claims beside them, with what the searches leave open of each."""
        found = answer_questions(self.summary)
        asked = {frozenset((each.method, each.other)) for each in found}
        claims = compare_best(self.summary, bool(self.recommendation))
        beside = [each for each in claims if frozenset((each.method, each.other)) not in asked]
        return with_doubts([*found, *beside], self.search)

    @cached_property
    def conclusion(self) -> str:
        """The first sentences: which adapter, by how much, how sure. The terminal ends in them, too."""
        answer = self.recommendation.text if self.recommendation else describe_conclusion(self.summary)
        return " ".join(filter(None, (answer, describe_doubts(self.verdicts), self.changed)))

    @property
    def unfinished(self) -> str:
        """How many of its runs are finished, as a sentence; empty if all are."""
        if self.planned_runs is None or len(self.runs) >= self.planned_runs:
            return ""
        return f"{len(self.runs)} of {self.planned_runs} runs are finished: all that follows may change."

    @property
    def facts(self) -> dict[str, str]:
        """What was compared, in a few words each."""
        trained = [run for run in self.runs if run.method != BASE]
        return {
            "Base model": self.runs[0].model,
            "Data": self.runs[0].data,
            "Reference": self.reference,
            "Seeds": ", ".join(map(str, sorted({run.seed for run in trained}))) or "none",
            "Steps": ", ".join(map(str, sorted({run.steps for run in trained}))) or "none",
        }

    @property
    def questions(self) -> list[tuple[str, Answers]]:
        """The verdicts grouped by question, the circuit first."""
        found = []
        for topic, text in QUESTIONS.items():
            group = [each for each in self.verdicts if each.topic == topic]
            single = [each for each in group if topic == "circuit" and each.other]
            asked = [each for each in group if each not in single]
            answers: Answers = [(each, [(one, []) for one in single if one.method == each.method]) for each in asked]
            found += [(text.format(self.reference), answers)] if answers else []
        return found

    @property
    def circuits(self) -> list[tuple[Circuit, list[str], bool]]:
        """Every distinct circuit, the methods that have it, and whether they train its angles."""
        found: dict[tuple[Circuit, bool], list[str]] = {}
        for method, adapter in {run.method: run.adapter for run in self.runs if run.adapter}.items():
            with suppress(QweftError):  # of an adapter of another version
                config = adapter_config(adapter)
                if isinstance(config, QwthnConfig) and has_circuit(config.core):
                    function = make_function(function_of(config.core) or "", config.resolved(config.r))
                    if function.circuit is not None:
                        found.setdefault((function.circuit, bool(function.trained)), []).append(method)
        return [(circuit, methods, trained) for (circuit, trained), methods in found.items()]

    @property
    def examples(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """For each prompt, the reference answer and what the methods generated, each at one seed."""
        prompts: dict[str, tuple[str, str, list[tuple[str, str]]]] = {}
        for run in self.runs:
            name = "untouched model" if run.method == BASE else f"{run.method}, seed {run.seed}"
            for answer in run.answers:
                prompt = answer["prompt"]
                _, _, generated = prompts.setdefault(prompt, (prompt, answer["reference"], []))
                generated.append((name, answer["generated"]))
        return list(prompts.values())

    @property
    def measured_on(self) -> str:
        """A sentence on the rows and tokens of the layer measurements; empty if they are unknown."""
        first = next(iter(self.inspected.values()), None)
        if first is None or first.rows is None or first.tokens is None:
            return ""
        return f"Measured on {first.rows:,} rows, {first.tokens:,} tokens."

    @property
    def notes(self) -> list[str]:
        """What was not controlled, how the numbers were judged, and what they mean."""
        lines = [
            *caveats(self.summary, [entry.method for entry in self.search]),
            *judged_by(self.summary, is_strict=self.recommendation is not None),
            "“Yes” and “no” are differences with a corrected p of at most 0.05; “equivalent” lies within the stated "
            "margin by two one-sided tests; “not decided” is not “equal”. docs/statistics.md has the rules.",
            "Held-out loss is the mean of −log p over the target tokens of the held-out rows; perplexity is exp of "
            f"it. A difference is paired by seed and in percent of {self.reference}'s mean loss.",
            load_said(self.runs),
        ]
        if source := next((each.forgetting.source for each in self.summary.values() if each.forgetting), None):
            lines.append(
                f"A rise elsewhere is forgetting: the loss on {source} above the base model's, ± the standard "
                "error over rows."
            )
        if "dequant" in self.environment.get("model origin", "").lower():
            lines.append("The base model's weights were dequantised: do not compare its scores with published ones.")
        if any(entry.kind == "hybrid" for entry in self.summary.values()):
            lines.append("Circuits were simulated exactly; no quantum hardware took part.")
        for entry in self.summary.values():
            if entry.core and (function := function_of(entry.core)) in TWINS:
                lines.append(f"{entry.method} has a stand-in for the circuit: {FUNCTIONS[function].report}.")
        return lines

    @cached_property
    def styles(self) -> dict[str, Style]:
        """The style of every method in figures, also without a run; labelled ones first: there are too few colours."""
        named = emphasised(self.summary)
        methods = sorted((name for name in self.summary if name != BASE), key=lambda name: name not in named)
        return styles([*methods, *(entry.method for entry in self.search)])


def tally(answers: Answers) -> str:
    """Return how often each answer was given: 1 yes, 2 not decided."""
    counts = Counter(ANSWERS[verdict.direction] for verdict, _ in answers)
    return ", ".join(f"{counts[word]} {word}" for word in ANSWERS.values() if counts[word])


def figures(content: Content) -> Figures:
    """Return the figures of a report, by its section."""
    looks, named = content.styles, emphasised(content.summary)
    found = {
        "short": [forest_figure(content.verdicts, looks), curves_figure(content.runs, looks, named)],
        "cost": [pareto_figure(content.summary, looks, named)],
        "search": [search_figure(content.search, looks)],
    }
    return {section: [figure for figure in each if figure is not None] for section, each in found.items()}
