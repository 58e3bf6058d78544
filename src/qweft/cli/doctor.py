"""`qweft doctor`."""

from collections.abc import Sequence

from qweft.cli.command import Command, NoOptions
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import only_json, print_json
from qweft.errors import QweftError
from qweft.text import many

COMMAND = Command(
    name="doctor",
    description="Look whether this machine is ready: versions, devices, the model cache, extras, and a self-test of "
    "ten seconds that trains, saves, loads and compares a tiny model. The exit status is 2 if there is a fault.",
    example="qweft doctor",
    flags={"json": "Print the findings as JSON, and nothing else, on standard output."},
)
MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def run(argv: Sequence[str]) -> None:
    """Runs the checks, prints the findings, and fails if there is a fault."""
    arguments = read_arguments(argv, COMMAND)
    apply_options(NoOptions, {}, arguments, COMMAND)
    wants_json = "json" in arguments.flags
    with only_json(wants_json):
        from rich.text import Text

        from qweft.doctor.machine import Finding
        from qweft.doctor.run import examine
        from qweft.output import Console

        console = Console(quiet=wants_json)

        def tell(finding: Finding) -> None:
            style = {"ok": "green", "note": "yellow", "fault": "bold red"}[finding.state]
            mark = Text(f"{MARKS[finding.state]}  ", style=style)
            console.print(mark.append(f"{finding.name}: ", style="bold").append(finding.said, style="default"))

        found = examine(tell)
    if wants_json:
        print_json([finding.to_json() for finding in found])
    faults = [finding for finding in found if finding.state == "fault"]
    if faults:
        raise QweftError(f"{many(len(faults), 'fault')}: {', '.join(finding.name for finding in faults)}")
