"""`qweft export`."""

from collections.abc import Sequence

from qweft.cli.command import Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show
from qweft.errors import QweftError
from qweft.exporting.config import ExportConfig

COMMAND = Command(
    name="export",
    description="Make a plain LoRA or a merged model of a trained adapter, for programs that know nothing of qweft: "
    "PEFT, transformers, vLLM, llama.cpp, Ollama. What is linear in the adapter is taken over exactly; a circuit is "
    "replaced by its best linear fit on calibration text. The cost is measured on held-out text, and an export that "
    "loses too much is refused.",
    example="qweft export runs/train/adapter --to lora --calibration embedded:gsm_symbolic",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` or PEFT wrote it.",
    flags={
        "dry-run": "Say what would be fitted and measured, and stop.",
        "force": "Write the export whatever it loses.",
        "json": "Print the numbers as JSON, and nothing else, on standard output.",
    },
    shows_defaults=False,
    options=ExportConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, exports and prints the report."""
    folder, options, flags = parse_folder(ExportConfig, argv, COMMAND)
    wants_json, force = "json" in flags, "force" in flags
    with only_json(wants_json):
        from qweft.exporting.checks import check_start

        check_start(folder, options, needs_weights="dry-run" not in flags)
    if "dry-run" in flags:
        with only_json(wants_json):
            from qweft.exporting.run import preview

            found = preview(folder, options)
        print_json(found.to_json()) if wants_json else show(found.describe())
        return
    with only_json(wants_json):
        from qweft.exporting.run import export

        report = export(folder, options, force)
    if wants_json:
        print_json(report.to_json())
    else:
        show(report.describe())
    if report.refusal is not None and not force:
        more = "--distill-steps 50, more --calibration-tokens, or " if report.layers else ""
        raise QweftError(f"nothing was written: {report.refusal}; try {more}--force")
    if not wants_json:
        show(f"exported: {report.output}")
