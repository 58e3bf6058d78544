"""`qweft report`."""

from dataclasses import dataclass
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call
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


def run(call: Call) -> None:
    """Write the report and print its path."""
    config, source = ReportConfig(**call.given()), Path(call.targets[0])
    other, output = (None if name is None else Path(name) for name in (config.beside, config.output or None))
    from qweft.comparison.results_file import check_results

    for path in filter(None, (source, other)):
        check_results(path)
    from qweft.comparison.report.write import beside, remake_report

    show(f"report: {remake_report(source, output) if other is None else beside(source, other, output)}")
