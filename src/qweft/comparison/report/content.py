"""`Content`, the parsed results.json of a comparison, and `Figures`, the figures of its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qweft import yaml_file
from qweft.comparison.decision import conclusion
from qweft.comparison.report.circuits import Drawn, circuits, spectra_figure
from qweft.comparison.report.curves import MOST, curves_figure, emphasised, lines
from qweft.comparison.report.forest import Part, forest_figure
from qweft.comparison.report.heat_maps import heat_map
from qweft.comparison.report.inspection import Inspection, inspections, mapped
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
    planned_runs: int | None = None
    recommendation: str = ""
    changed: str = ""

    @classmethod
    def read(cls, results: Mapping[str, Any], config_yaml: str = "", title: str = "") -> "Content":
        """Parse results.json, or raise `QweftError` if it has no runs or they do not belong together.

        A config or title that is given takes the place of the one in the results. Malformed results raise other errors
        too, which `reading` turns into words.
        """
        records = results.get("runs", [])
        runs = tuple(Run.from_json(record) for record in records)
        if not runs:
            raise QweftError("there is no run to report on")
        entries = list((results.get("summary") or {}).values())
        first = entries[0] if entries else {}
        for key in ("reference", "equivalent_within", "looks_made"):
            if any(entry.get(key) != first.get(key) for entry in entries):
                raise QweftError(f"summary: the methods differ in {key}")
        looks = [
            Look(None, float(e["level"]), tuple(map(int, e["seeds"])), int(e["number"]), int(e["planned"]))
            for e in first.get("looks_made") or []
        ]
        recommended = str((results.get("recommendation") or {}).get("text", ""))
        environment = {key: value for key, value in (results.get("environment") or {}).items() if value is not None}
        reference, margin = str(first.get("reference") or "lora"), first.get("equivalent_within")
        return cls(
            title=title or str(results.get("title") or f"{runs[0].model} on {runs[0].data}"),
            runs=runs,
            summary=summarise(runs, reference, margin, looks or (ONCE,), bool(recommended)),
            reference=reference,
            command=environment.pop("command", None),
            environment=environment,
            config_yaml=config_yaml or str(results.get("config_yaml") or ""),
            search=searches(results.get("search")),
            inspected=inspections(records),
            recommendation=recommended,
            changed=changed_said(results),
            planned_runs=planned if type(planned := results.get("planned_runs")) is int else None,
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

    @cached_property
    def circuits(self) -> list[Drawn]:
        """The distinct circuits of its methods."""
        return circuits(self.runs)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, without the untouched model."""
        return [method for method in self.summary if method != BASE]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the methods."""
        return sorted({run.seed for run in self.runs if run.method != BASE})

    @property
    def steps(self) -> list[int]:
        """Distinct numbers of steps of the methods' runs."""
        return sorted({run.steps for run in self.runs if run.method != BASE})

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration; empty if it is unknown or not a mapping."""
        try:
            read = yaml_file.load(self.config_yaml, "configuration")
        except QweftError:
            return {}
        return read if isinstance(read, dict) else {}


@dataclass(frozen=True)
class Figures:
    """The figures of one report; `None` stands for a figure with nothing to show."""

    forests: tuple[ReportFigure, ...]
    curves: ReportFigure | None
    by_size: ReportFigure | None
    by_time: ReportFigure | None
    search: ReportFigure | None
    spectra: ReportFigure | None
    maps: tuple[ReportFigure, ...]
    more_maps: tuple[ReportFigure, ...]

    @property
    def opening(self) -> list[ReportFigure]:
        """The figures that the report opens with: differences where there are intervals, and the training loss."""
        return [figure for figure in (*self.forests[:1], self.curves) if figure is not None]

    @property
    def every(self) -> list[ReportFigure]:
        """All figures that exist, in report order."""
        single = (self.curves, self.by_size, self.by_time, self.search, self.spectra)
        return [figure for figure in (*self.forests, *single, *self.maps, *self.more_maps) if figure is not None]


def styles_of(contents: Sequence[Content]) -> dict[str, Style]:
    """Return the style of every method of the comparisons on one page, also of those that have no run yet."""
    methods = [(content, method) for content in contents for method in content.methods]
    # Labelled methods come first: there are more styles than colours, and they should not share a colour
    ordered = sorted(methods, key=lambda entry: entry[1] not in emphasised(entry[0].summary))
    searched = [entry.method for content in contents for entry in content.search]
    return styles([*(method for _, method in ordered), *searched])


def figures(content: Content, contents: Sequence[Content] = ()) -> Figures:
    """Return the figures of a report; comparisons on one page share styles and scales."""
    method_styles, named = styles_of([*contents, content]), emphasised(content.summary)
    summaries = [other.summary for other in contents]
    inside = [other.inspected for other in contents]
    told = [other.verdicts for other in contents]
    shared = [line for other in contents for line in lines(other.runs)]
    parts: tuple[Part, ...] = ("hybrids", "others")
    forests = (forest_figure(content.verdicts, part, method_styles, told) for part in parts)
    maps: dict[str, list[ReportFigure]] = {"open": [], "folded": []}
    for measure in mapped(content.inspected):
        if figure := heat_map(measure, content.inspected, inside):
            maps[measure.place].append(figure)
    # Inspected methods are few, and the user chose them
    inspected = content.inspected if len(content.inspected) <= MOST else named
    return Figures(
        forests=tuple(figure for figure in forests if figure is not None),
        curves=curves_figure(content.runs, method_styles, named, shared),
        by_size=pareto_figure(content.summary, "parameters", method_styles, named, summaries),
        by_time=pareto_figure(content.summary, "time", method_styles, named, summaries),
        search=search_figure(content.search, method_styles, [other.search for other in contents]),
        spectra=spectra_figure(content.inspected, method_styles, inspected, inside),
        maps=tuple(maps["open"]),
        more_maps=tuple(maps["folded"]),
    )
