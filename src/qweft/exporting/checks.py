"""Checks of `qweft export`, before PyTorch is imported."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.data.checks import check_data_config, check_places
from qweft.errors import QweftError
from qweft.exporting.config import ExportConfig, Target, check_export, check_gguf_type
from qweft.exporting.rows import plan_rows
from qweft.files import check_can_be_written
from qweft.method.peft_methods import OWN
from qweft.method.saved import check_saved, read_saved
from qweft.models.resolve import ModelSource, check_model
from qweft.records import read_record
from qweft.text import shown

SECTIONS = ("model", "data", "evaluation")
REPORT = "export.json"
CARD = "README.md"
TOKENIZER = (
    r"(tokenizer|tokenizer_config|special_tokens_map|vocab|added_tokens)\.json|tokenizer\.model|merges\.txt"
    r"|chat_template\.jinja|additional_chat_templates|vocab\.txt"
)
FILES: dict[Target, str] = {
    "lora": r"adapter_config\.json|adapter_model\.safetensors",
    "gguf": r"adapter\.gguf",
    "merged": rf"(generation_)?config\.json|model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|{TOKENIZER}",
    "merged-gguf": r"model\.gguf",
}
"""Names of the files of an export, beside its report and card, as a regular expression."""
NOT_LOW_RANK = (
    "use_dora", "use_qalora", "use_bdlora", "lora_bias", "target_parameters", "layer_replication",
    "trainable_token_indices", "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config",
)  # fmt: skip
"""Fields of LoRA's config that make more of it than y = W0 x + B A x."""


def check_start(
    adapter: Path, options: Mapping[str, Any] | None, needs_weights: bool = False
) -> tuple[ExportConfig, dict[str, Any], Path]:
    """Checks everything that can be checked before an adapter is exported.

    Args:
        adapter: The adapter's folder.
        options: Fields of `ExportConfig`. Its sections hold only keys that differ from the training run.
        needs_weights: Whether the model's weights are needed, or only its shapes.

    Returns:
        The options, the settings by section, and the output folder.

    Raises:
        QweftError: If the folder holds no QWTHN adapter, an option is wrong, the output folder holds something else,
            or the data or the model are not there.
    """
    given = dict(options or {})
    overrides = {name: given.pop(name) for name in SECTIONS if name in given}
    config = ExportConfig(**given)
    check_export(config)
    output = Path(config.output) if config.output else adapter.parent / config.to
    if not config.output and output.is_symlink():  # by a stranger's folder; what stands where it leads is another's
        raise QweftError(f"output {output} is a link to {os.path.realpath(output)}; remove it, or give --output")
    output = Path(os.path.realpath(output))  # of a link to itself, `resolve` raises another error
    _check_output(output, adapter, config.to)
    check_saved(adapter)
    _check_method(adapter, config)
    model, plan, _ = plan_rows(adapter, config.calibration, overrides)
    for data in (plan.held_out, plan.calibration):
        if data is not None:
            check_data_config(data)
            check_places(data)
    found = check_model(model, needs_weights)
    if "gguf" in config.to and isinstance(found, ModelSource) and found.local:
        check_gguf_type(read_record(Path(found.location) / "config.json", "copy the model anew").get("model_type"))
    return config, overrides, output


def _check_output(output: Path, adapter: Path, to: Target) -> None:
    """Raises unless the output folder is new, empty or an earlier export to the same format."""
    if output == adapter.resolve():
        raise QweftError(f"output {output} is the adapter itself; choose another --output")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    foreign = {name for name in held - {REPORT, CARD, *_listed(output, to)} if not re.fullmatch(FILES[to], name)}
    if (held and (REPORT not in held or foreign)) or (output.exists() and not output.is_dir()):
        raise QweftError(f"output {output} holds something that is no export to {to}; choose another --output")
    if output.is_dir() and not os.access(output, os.W_OK):
        raise QweftError(f"output {output} is write-protected, and would be replaced; choose another --output")
    check_can_be_written(output.parent)


def _listed(output: Path, to: Target) -> set[str]:
    """Returns what an earlier export to the format lists as its own: tokenizers have files of many names."""
    try:
        report = read_record(output / REPORT, "remove it")
    except QweftError:
        return set()
    files = report.get("files") if report.get("to") == to else None
    return {name.partition("/")[0] for name in files} if isinstance(files, dict) else set()


def _check_method(adapter: Path, config: ExportConfig) -> None:
    """Raises unless the adapter can be exported to the format."""
    saved = read_saved(adapter)
    method, whole = saved.get("peft_type"), saved.get("modules_to_save")
    if method != OWN and (method != "LORA" or config.to == "lora"):
        loads = "it is a LoRA already" if method == "LORA" else f"it is of PEFT's method {shown(method)}"
        raise QweftError(
            f"{adapter}: nothing to export, {loads}; export takes a QWTHN adapter, or a LoRA to other formats"
        )
    if config.to == "gguf" and whole:
        raise QweftError(
            f"{adapter}: {shown(whole)} were trained whole, and a LoRA in GGUF holds no whole module; give "
            "--to merged-gguf"
        )
    more = [name for name in NOT_LOW_RANK if saved.get(name)] if method == "LORA" else []
    if method == "LORA" and saved.get("bias", "none") != "none":
        more.append("bias")
    if more:
        raise QweftError(
            f"{adapter}: {more[0]} is set, so this LoRA is more than a product of two matrices, and an export takes "
            "nothing else; merge it with PEFT's merge_and_unload"
        )
