"""`qweft export`."""

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show
from qweft.exporting.config import ExportConfig

COMMAND = Command(
    name="export",
    description="Make a plain LoRA or a merged model of a trained adapter, for programs that know nothing of qweft: "
    "PEFT, transformers, vLLM, llama.cpp, Ollama. What is linear in the adapter is taken over exactly; a circuit is "
    "replaced by its best linear fit on calibration text. The cost is measured on held-out text, and an export that "
    "loses too much is refused.",
    example="qweft export runs/train/adapter --to lora --calibration embedded:gsm_symbolic",
    target="ADAPTER",
    flags={
        "dry-run": "Say what would be fitted and measured, and stop.",
        "force": "Write the export whatever it loses.",
        **JSON,
    },
    shows_defaults=False,
    options=ExportConfig,
)


def run(call: Call) -> None:
    """Export and print the report."""
    folder, options, force = call.folder, call.given(), "force" in call.flags
    from qweft.exporting.plan import plan_export

    planned = plan_export(folder, options).preview()
    if call.is_dry:
        call.answer(planned.to_json, planned.describe)
        return
    from qweft.exporting.run import export

    report = export(folder, options, force)
    call.answer(report.to_json, report.describe)
    if not force:
        report.check()
    if "json" not in call.flags:
        show(f"exported: {report.output}")
