"""`qweft report`."""

from dataclasses import dataclass
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show
from qweft.comparison.results_file import RESULTS
from qweft.errors import QweftError


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
    results = Path(call.targets[0])
    if not (results / RESULTS if results.is_dir() else results).is_file():
        what = f"no {RESULTS} in it" if results.is_dir() else "no such file or folder"
        raise QweftError(f"{results}: {what}; give the folder that qweft compare wrote")
    from qweft.comparison.report.write import remake_report

    show(f"report: {remake_report(results, Path(output) if output else None)}")
