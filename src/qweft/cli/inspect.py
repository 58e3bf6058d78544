"""`qweft inspect`."""

from collections.abc import Sequence

from qweft.analysis.config import InspectionConfig
from qweft.cli.command import Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show

COMMAND = Command(
    name="inspect",
    description="Measure what a trained adapter does on text that it was not trained on, layer by layer: the ranks of "
    "its Jacobian and how much it differs from token to token, how far the core is from affine, how much passes "
    "through the circuit, the circuit's entanglement and expressibility, and the gradients. A LoRA can be inspected "
    "too, to stand beside it.",
    example="qweft inspect runs/train/adapter --output runs/train/inspection.json",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` or PEFT wrote it.",
    flags={
        "dry-run": "Say what would be measured, and stop.",
        "json": "Print the numbers as JSON, and nothing else, on standard output.",
    },
    shows_defaults=False,
    options=InspectionConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, inspects the adapter and prints."""
    folder, options, flags = parse_folder(InspectionConfig, argv, COMMAND)
    wants_json = "json" in flags
    with only_json(wants_json):
        from qweft.analysis.checks import check_inspection

        check_inspection(folder, options, needs_weights="dry-run" not in flags)
    if "dry-run" in flags:
        with only_json(wants_json):
            from qweft.analysis.run import preview

            found = preview(folder, options)
        print_json(found.to_json()) if wants_json else show(found.describe())
        return
    with only_json(wants_json):
        from qweft.analysis.describe import describe
        from qweft.analysis.run import inspect

        inspection = inspect(folder, options)
    if wants_json:
        print_json(inspection.to_json())
    else:
        show(describe(inspection))
