"""`qweft devices`."""

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call

COMMAND = Command(
    name="devices",
    description="List where circuits can run: the devices of this package and the families of other packages, what is "
    "installed of them and how the rest is installed, and what they cost.",
    example="qweft devices --json",
    flags=JSON,
)


def run(call: Call) -> None:
    """Print the devices."""
    from qweft.devices.catalogue import catalogue, describe

    entries = catalogue()
    call.answer(lambda: [entry.to_json() for entry in entries], lambda: describe(entries))
