"""`qweft circuit`."""

from collections.abc import Sequence

from qweft.circuit_view.config import CircuitConfig
from qweft.cli.command import Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show

COMMAND = Command(
    name="circuit",
    description="Show the circuit of one layer of a trained adapter: drawn, its gates counted as written and as "
    "compiled for a chip, its trained angles, and what it makes of each token of a text; write it as a picture, or in "
    "a language that other programs read.",
    example="qweft circuit runs/train/adapter --layer layers.0.self_attn.q_proj --chip lattice",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` or PEFT wrote it.",
    flags={"json": "Print everything as JSON, with all digits, and nothing else, on standard output."},
    shows_defaults=False,
    options=CircuitConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, computes the circuit's view and prints it."""
    folder, options, flags = parse_folder(CircuitConfig, argv, COMMAND)
    wants_json = "json" in flags
    with only_json(wants_json):
        from qweft.circuit_view.checks import check_view

        check_view(folder, options)
        from qweft.circuit_view.describe import describe
        from qweft.circuit_view.run import view_circuit
        from qweft.output import Console

        found = view_circuit(folder, options)
    if wants_json:
        print_json(found.to_json())
    else:
        show(describe(found, Console().width))
