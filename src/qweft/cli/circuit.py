"""`qweft circuit`."""

import shutil
from collections.abc import Sequence

from qweft.cli.command import Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show
from qweft.look.config import CircuitConfig

COMMAND = Command(
    name="circuit",
    description="Look at the circuit of one layer of a trained adapter: its drawing, its size as written and on a "
    "chip, its angles, and what each token of a text gives; or write it for other programs. Only a text needs the base "
    "model.",
    example="qweft circuit runs/train/adapter --layer model.layers.0.self_attn.q_proj --picture circuit.svg",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` or PEFT wrote it.",
    target_required=True,
    flags={"json": "Print everything as JSON, with all digits and nothing else, on standard output."},
    shows_defaults=False,
)


def run(argv: Sequence[str]) -> None:
    """Parse, look and print."""
    folder, options, flags = parse_folder(CircuitConfig, argv, COMMAND)
    wants_json = "json" in flags
    with only_json(wants_json):
        from qweft.look.describe import describe
        from qweft.look.run import look

        found = look(folder, options)
    if wants_json:
        print_json(found.to_json())
    else:
        show(describe(found, shutil.get_terminal_size().columns))
