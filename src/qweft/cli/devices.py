"""`qweft devices`."""

from collections.abc import Sequence

from qweft.cli.command import Command, NoOptions
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import only_json, print_json, show

COMMAND = Command(
    name="devices",
    description="List where circuits can run: the devices of this package and the families of other packages, what is "
    "installed of them and how the rest is installed, and what they cost.",
    example="qweft devices --json",
    flags={"json": "Print the list as JSON, and nothing else, on standard output."},
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments and prints the devices."""
    arguments = read_arguments(argv, COMMAND)
    apply_options(NoOptions, {}, arguments, COMMAND)
    wants_json = "json" in arguments.flags
    with only_json(wants_json):
        from qweft.devices.catalogue import catalogue, describe

        entries = catalogue()
    if wants_json:
        print_json([entry.to_json() for entry in entries])
    else:
        show(describe(entries))
