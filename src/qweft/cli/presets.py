"""`qweft presets`."""

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show

COMMAND = Command(
    name="presets",
    description="List the adapter presets, each with what it stands for. Use one with --adapter.preset NAME.",
    example="qweft presets",
)

RECOMMENDED = """
For SmolLM2-135M on dialogues an adapter that is no preset is recommended: LoRA of rank 1 on all linear layers.

  --adapter.peft_type LORA --adapter.r 1 --adapter.target_modules all-linear

docs/which-adapter.md says on what it was measured. `qweft compare DATA` asks the same on your own rows."""


def run(call: Call) -> None:
    """Print one line per preset, and the recommended adapter."""
    from rich.table import Table

    from qweft.method.presets import presets

    table = Table.grid(padding=(0, 2))
    for name, description in presets().items():
        table.add_row(name, description)
    show(table)
    show(RECOMMENDED)
