"""`qweft report`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qweft.cli.command import Command
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import show


@dataclass(frozen=True)
class ReportConfig:
    """The output of the report, and a second comparison.

    Args:
        beside: Folder or results.json of another comparison, to show side by side.
        output: Output folder. `None` means the comparison's own.
    """

    beside: str | None = None
    output: str | None = None


COMMAND = Command(
    name="report",
    description="Make the report of a finished comparison anew: page, Markdown and pictures. With --beside, make one "
    "page that shows two comparisons side by side in the same scales, what differs between them first.",
    example="qweft report runs/demo --beside runs/other",
    target="RESULTS",
    target_help="Folder of the comparison, as `qweft compare` wrote it, or its results.json.",
    options=ReportConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, writes, and prints the report's path."""
    arguments = read_arguments(argv, COMMAND)
    given: dict[str, Any] = {}
    apply_options(ReportConfig, given, arguments, COMMAND)
    config = ReportConfig(**given)
    from qweft.comparison.results_file import check_results

    source, output = Path(arguments.targets[0]), Path(config.output) if config.output else None
    for path in (source, *([Path(config.beside)] if config.beside is not None else [])):
        check_results(path)
    from qweft.comparison.report.write import beside, remake_report

    if config.beside is None:
        show(f"report: {remake_report(source, output)}")
    else:
        show(f"report: {beside(source, Path(config.beside), output)}")
