"""`qweft doctor`."""

from dataclasses import asdict

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call
from qweft.errors import QweftError
from qweft.text import many

COMMAND = Command(
    name="doctor",
    description="Look whether this machine is ready: versions, devices, the model cache, extras, and a self-test of "
    "ten seconds that trains, saves, loads and compares a tiny model. The exit status is 2 if there is a fault.",
    example="qweft doctor",
    flags=JSON,
)
MARKS = {"ok": ("ok   ", "green"), "note": ("note ", "yellow"), "fault": ("FAULT", "bold red")}


def run(call: Call) -> None:
    """Run the checks, print each finding as it is made, and fail if there is a fault."""
    from rich.text import Text

    from qweft.cli.terminal import print_json
    from qweft.doctor import findings
    from qweft.output import Console

    console, found = Console(quiet="json" in call.flags), []
    for finding in findings():
        found.append(finding)
        mark, style = MARKS[finding.state]
        name = Text(f"{mark}  ", style=style).append(f"{finding.name}: ", style="bold")
        console.print(name.append(finding.said, style="default"))
    if "json" in call.flags:
        with call.printing():
            print_json([asdict(finding) for finding in found])
    faults = [finding.name for finding in found if finding.state == "fault"]
    if faults:
        raise QweftError(f"{many(len(faults), 'fault')}: {', '.join(faults)}")
