"""`Content`, the parsed results.json of a comparison, and `Figures`, the figures of its report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from qweft import yaml_file
from qweft.comparison.conclusion import claimed, conclusion
from qweft.comparison.findings import findings
from qweft.comparison.phrases import Finding
from qweft.comparison.report.circuits import Drawn, circuits, spectra_figure
from qweft.comparison.report.curves import MOST, apart, apart_figure, curves_figure, emphasised, lines
from qweft.comparison.report.forest import Part, forest_figure
from qweft.comparison.report.heat_maps import HeatMap, heat_map
from qweft.comparison.report.inspection import Inspection, inspections, mapped
from qweft.comparison.report.pareto import pareto_figure
from qweft.comparison.report.search import search_figure
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import changed_said
from qweft.comparison.searched import Search, searches, with_doubts
from qweft.comparison.statistics import LARGEST_MARGIN, LARGEST_P, ONCE, Look
from qweft.comparison.summarise import summarise
from qweft.comparison.summary import Summary
from qweft.errors import QweftError
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import Style, styles

ROUNDING = 1e-9
"""Relative error with which levels add up to the whole one."""
LONGEST_TITLE = 500
"""Most characters of a title that results.json has."""


@dataclass(frozen=True)
class Content:
    """One comparison, as a report shows it.

    Args:
        title: The model and the data, or another title.
        runs: All runs.
        summary: The summary of each method.
        reference: The method that the others are compared with.
        environment: Versions and machine, without the command and unknown values.
        command: The command line; `None` if unknown.
        config_yaml: The configuration as YAML text; empty if unknown.
        search: The search for learning rates.
        inspected: Measurements inside the adapters, by method.
        planned_runs: Number of runs of the whole comparison; `None` if unknown.
        recommendation: Which method to use, in a sentence; empty if the comparison was to recommend none.
        changed: That margin or reference are not those of the first results, in sentences; empty if they are.
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
        """Parses results.json.

        Args:
            results: "runs" and, if known, "summary" (which names the reference), "environment", "search" and
                "config_yaml".
            config_yaml: The configuration, if the results do not hold it.
            title: Empty means the names of the model and the data.

        Raises:
            QweftError: There are no runs, or the results are malformed.
        """
        try:
            return cls._read(results, config_yaml, title)
        except QweftError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise QweftError(f"not well formed ({type(error).__name__}: {error})") from error

    @classmethod
    def _read(cls, results: Mapping[str, Any], config_yaml: str, title: str) -> "Content":
        records = results.get("runs", [])
        runs = tuple(Run.from_json(record) for record in records)
        if not runs:
            raise QweftError("there is no run to report on")
        entries = (results.get("summary") or {}).values()
        named = [entry["reference"] for entry in entries if "reference" in entry]
        reference = str(_the_one("reference", named, "lora"))
        margin = _margin(_the_one("equivalent_within", [entry.get("equivalent_within") for entry in entries], None))
        recommended = str((results.get("recommendation") or {}).get("text", ""))
        environment = {key: value for key, value in (results.get("environment") or {}).items() if value is not None}
        return cls(
            title=title or _title(runs[0], results),
            runs=runs,
            summary=summarise(runs, reference, margin, _looks(results), bool(recommended)),
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
    def findings(self) -> list[Finding]:
        """The findings, then what the conclusion claims beside them, with what the searches leave open of each."""
        return self._doubted[0]

    @cached_property
    def conclusion(self) -> str:
        """What it decided and what it could not show, in plain sentences, as the terminal had it.

        A recommendation stands alone: it compares with the leader, the conclusion with the lowest loss.
        """
        said = (self.recommendation or conclusion(self.summary), self._doubted[1], self.changed)
        return " ".join(filter(None, said))

    @cached_property
    def _doubted(self) -> tuple[list[Finding], str]:
        found = findings(self.summary, [entry.method for entry in self.search])
        asked = {frozenset((each.method, each.other)) for each in found}
        claims = claimed(self.summary, bool(self.recommendation))
        beside = [each for each in claims if frozenset((each.method, each.other)) not in asked]
        return with_doubts([*found, *beside], self.search, claims)

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

    @property
    def config(self) -> dict[str, Any]:
        """The configuration; empty if it is unknown or not a mapping."""
        try:
            read = yaml_file.load(self.config_yaml, "configuration")
        except QweftError:
            return {}
        return read if isinstance(read, dict) else {}


def _the_one(key: str, values: Sequence[Any], usual: Any) -> Any:
    """Returns what all methods of a summary record; raises if they differ, as no comparison writes that."""
    if len(set(values)) > 1:
        raise QweftError(f"summary: the methods differ in {key} ({', '.join(map(str, dict.fromkeys(values)))})")
    return values[0] if values else usual


def _title(run: Run, results: Mapping[str, Any]) -> str:
    """Returns the title that the comparison gave its report, or one as it gives; earlier versions did not keep it."""
    kept = results.get("title")
    return kept[:LONGEST_TITLE] if isinstance(kept, str) and kept else f"{run.model} on {run.data}"


def _looks(results: Mapping[str, Any]) -> Sequence[Look]:
    """Returns the looks that the summary of a results.json records; one look if there are none.

    Raises:
        QweftError: No comparison makes such looks: a level is not above 0, they add up to more than 0.05, the looks
            are not numbered from 1, or a look has no seed that is new.
    """
    recorded = [entry.get("looks_made") or [] for entry in (results.get("summary") or {}).values()]
    if any(each != recorded[0] for each in recorded):
        raise QweftError("summary: the methods differ in looks_made")
    if not recorded or not recorded[0]:
        return (ONCE,)
    looks = [
        Look(None, float(e["level"]), tuple(map(int, e["seeds"])), int(e["number"]), int(e["planned"]))
        for e in recorded[0]
    ]
    spent = math.fsum(look.level for look in looks)
    numbered = [look.number for look in looks] == [*range(1, len(looks) + 1)]
    planned = all(look.planned >= len(looks) for look in looks)
    grows = all({*before} < {*after} for before, after in pairwise([(), *(look.seeds or () for look in looks)]))
    if not (
        numbered and planned and grows and min(look.level for look in looks) > 0 and spent <= LARGEST_P * (1 + ROUNDING)
    ):
        raise QweftError("summary: looks_made has levels, numbers or seeds that no comparison has")
    return looks


def _margin(value: object) -> float | None:
    """Returns the margin of equivalence that a summary records, in percent.

    Raises:
        QweftError: A comparison refuses such a margin.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST_MARGIN:
        raise QweftError(f"summary: equivalent_within must be above 0 and at most {LARGEST_MARGIN:g}, got {value!r}")
    return float(value)


@dataclass(frozen=True)
class Figures:
    """The figures of one report; `None` stands for a figure with nothing to show.

    Args:
        forests: Differences with their intervals: of the hybrids, and of the other methods.
        curves: Training loss by step.
        apart: Training loss minus the reference's.
        by_size: Held-out loss by parameters.
        by_time: Held-out loss by step time.
        search: Validation loss by learning rate.
        spectra: Singular values of the branches.
        maps: One heat map per measure, layer by layer.
    """

    forests: tuple[ReportFigure, ...]
    curves: ReportFigure | None
    apart: ReportFigure | None
    by_size: ReportFigure | None
    by_time: ReportFigure | None
    search: ReportFigure | None
    spectra: ReportFigure | None
    maps: tuple[HeatMap, ...]

    @property
    def lead(self) -> ReportFigure | None:
        """The figure that the report opens with: differences if there are intervals, else the training loss."""
        return self.forests[0] if self.forests else self.curves

    @property
    def every(self) -> list[ReportFigure | HeatMap]:
        """All figures that exist, in report order."""
        single = (self.curves, self.apart, self.by_size, self.by_time, self.search, self.spectra)
        return [figure for figure in (*self.forests, *single, *self.maps) if figure is not None]


def styles_of(contents: Sequence[Content]) -> dict[str, Style]:
    """Returns the style of every method of the comparisons on one page, also of those that have no run yet."""
    methods = [(content, method) for content in contents for method in content.methods]
    # Labelled methods come first: there are more styles than colours, and they should not share a colour
    ordered = sorted(methods, key=lambda entry: entry[1] not in emphasised(entry[0].summary))
    searched = [entry.method for content in contents for entry in content.search]
    return styles([*(method for _, method in ordered), *searched])


def figures(content: Content, contents: Sequence[Content] = ()) -> Figures:
    """Returns the figures of a report.

    Args:
        content: The comparison.
        contents: All comparisons on the page. A method has the same style in each, and equal figures share scales.
    """
    method_styles, named = styles_of([*contents, content]), emphasised(content.summary)
    summaries = [other.summary for other in contents]
    inside = [other.inspected for other in contents]
    told = [other.findings for other in contents]
    shared = [line for other in contents for line in lines(other.runs)]
    parts: tuple[Part, ...] = ("hybrids", "others")
    forests = (forest_figure(content.findings, part, method_styles, told) for part in parts)
    maps = (heat_map(measure, content.inspected, inside) for measure in mapped(content.inspected))
    # Inspected methods are few, and the user chose them
    inspected = content.inspected if len(content.inspected) <= MOST else named
    return Figures(
        forests=tuple(figure for figure in forests if figure is not None),
        curves=curves_figure(content.runs, method_styles, named, shared),
        apart=apart_figure(
            content.runs,
            content.reference,
            method_styles,
            named,
            [line for other in contents for line in apart(other.runs, other.reference)],
        ),
        by_size=pareto_figure(content.summary, "parameters", method_styles, named, summaries),
        by_time=pareto_figure(content.summary, "time", method_styles, named, summaries),
        search=search_figure(content.search, method_styles, [other.search for other in contents]),
        spectra=spectra_figure(content.inspected, method_styles, inspected, inside),
        maps=tuple(figure for figure in maps if figure is not None),
    )
