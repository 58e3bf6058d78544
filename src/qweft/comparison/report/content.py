"""`Content`, the parsed results.json of a comparison, and the figures of its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qweft.comparison.decision import conclusion
from qweft.comparison.report.curves import curves_figure, emphasised
from qweft.comparison.report.forest import forest_figure
from qweft.comparison.report.inspection import Inspection, inspections
from qweft.comparison.report.pareto import pareto_figure
from qweft.comparison.report.search import search_figure
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import changed_said
from qweft.comparison.searched import Search, doubts_said, searches, with_doubts
from qweft.comparison.statistics import ONCE, Look
from qweft.comparison.summarise import summarise
from qweft.comparison.summary import Summary
from qweft.comparison.verdicts import Verdict, claimed, findings
from qweft.errors import QweftError
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import Style, styles

Figures = dict[str, list[ReportFigure]]
"""The figures of a report by its section, in report order."""


@dataclass(frozen=True)
class Content:
    """One comparison, as a report shows it: the parsed results.json.

    `environment` is without the command and unknown values. `recommendation` is empty if the comparison was to
    recommend none, `changed` if the plan is that of the first results.
    """

    title: str
    runs: tuple[Run, ...]
    summary: dict[str, Summary]
    reference: str
    environment: dict[str, Any]
    command: str | None
    config_yaml: str
    search: list[Search]
    inspected: dict[str, Inspection]
    planned_runs: int | None
    recommendation: str
    changed: str

    @classmethod
    def read(cls, results: Mapping[str, Any]) -> "Content":
        """Parse results.json. Malformed ones raise an error of any kind, which `reading` turns into words."""
        records = results.get("runs", [])
        runs = tuple(Run.from_json(record) for record in records)
        if not runs:
            raise QweftError("there is no run to report on")
        first: Mapping[str, Any] = next(iter((results.get("summary") or {}).values()), {})
        looks = [
            Look(None, float(e["level"]), tuple(map(int, e["seeds"])), int(e["number"]), int(e["planned"]))
            for e in first.get("looks_made") or []
        ]
        recommended = str((results.get("recommendation") or {}).get("text", ""))
        environment = {key: value for key, value in (results.get("environment") or {}).items() if value is not None}
        reference, margin = str(first.get("reference") or "lora"), first.get("equivalent_within")
        return cls(
            title=str(results.get("title") or f"{runs[0].model} on {runs[0].data}"),
            runs=runs,
            summary=summarise(runs, reference, margin, looks or (ONCE,), bool(recommended)),
            reference=reference,
            command=environment.pop("command", None),
            environment=environment,
            config_yaml=str(results.get("config_yaml") or ""),
            search=searches(results.get("search")),
            inspected=inspections(records),
            planned_runs=planned if type(planned := results.get("planned_runs")) is int else None,
            recommendation=recommended,
            changed=changed_said(results),
        )

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts, then what the conclusion claims beside them, with what the searches leave open of each."""
        found = findings(self.summary)
        asked = {frozenset((each.method, each.other)) for each in found}
        claims = claimed(self.summary, bool(self.recommendation))
        beside = [each for each in claims if frozenset((each.method, each.other)) not in asked]
        return with_doubts([*found, *beside], self.search)

    @cached_property
    def conclusion(self) -> str:
        """The first sentences: which adapter, by how much, how sure. The terminal ends in them, too."""
        answer = self.recommendation or conclusion(self.summary)
        return " ".join(filter(None, (answer, doubts_said(self.verdicts), self.changed)))

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

    @cached_property
    def styles(self) -> dict[str, Style]:
        """The style of every method in the figures, also of those that were searched and have no run yet.

        Labelled methods come first: there are more styles than colours, and they should not share a colour.
        """
        named = emphasised(self.summary)
        methods = sorted((name for name in self.summary if name != BASE), key=lambda name: name not in named)
        return styles([*methods, *(entry.method for entry in self.search)])


def figures(content: Content) -> Figures:
    """Return the figures of a report, by its section."""
    summary, looks, named = content.summary, content.styles, emphasised(content.summary)
    forests = [forest_figure(content.verdicts, of_hybrids, looks) for of_hybrids in (True, False)]
    forests = [figure for figure in forests if figure is not None]
    found: dict[str, Sequence[ReportFigure | None]] = {
        "short": [*forests[:1], curves_figure(content.runs, looks, named)],
        "found": forests[1:],
        "cost": [pareto_figure(summary, looks, named)],
        "search": [search_figure(content.search, looks)],
    }
    return {section: [figure for figure in each if figure is not None] for section, each in found.items()}
