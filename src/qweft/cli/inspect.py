"""`qweft inspect`."""

from qweft.analysis.config import InspectionConfig
from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call

COMMAND = Command(
    name="inspect",
    description="Measure what a trained adapter does on text that it was not trained on, layer by layer: the ranks of "
    "its Jacobian and how much it differs from token to token, how far the core is from affine, how much passes "
    "through the circuit, the circuit's entanglement and expressibility, and the gradients. A LoRA can be inspected "
    "too, to stand beside it.",
    example="qweft inspect runs/train/adapter --output runs/train/inspection.json",
    target="ADAPTER",
    flags={"dry-run": "Say what would be measured, and stop.", **JSON},
    shows_defaults=False,
    options=InspectionConfig,
)


def run(call: Call) -> None:
    """Inspect the adapter and print."""
    folder, options = call.folder, call.given()
    from qweft.analysis.checks import preview

    planned = preview(folder, options)
    if call.is_dry:
        call.answer(planned.to_json, planned.describe)
        return
    from qweft.analysis.describe import describe
    from qweft.analysis.run import inspect

    inspection = inspect(folder, options)
    call.answer(inspection.to_json, lambda: describe(inspection))
