"""`qweft report`."""

from dataclasses import dataclass
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show


@dataclass(frozen=True)
class ReportConfig:
    """The output of the report.

    Args:
        output: Output folder. `None` means the comparison's own.
    """

    output: str | None = None


COMMAND = Command(
    name="report",
    description="Make the report of a finished comparison anew: page, Markdown and pictures.",
    example="qweft report runs/demo",
    target="RESULTS",
    target_help="Folder of the comparison, as `qweft compare` wrote it, or its results.json.",
    options=ReportConfig,
)


def run(call: Call) -> None:
    """Write the report and print its path."""
    output = ReportConfig(**call.given()).output
    from qweft.comparison.report.write import remake_report

    show(f"report: {remake_report(Path(call.targets[0]), Path(output) if output else None)}")
