"""Checks of `qweft export`, before PyTorch is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.data.checks import check_data_config, check_places
from qweft.errors import QweftError
from qweft.export.config import ExportConfig, check_export
from qweft.export.rows import plan_rows
from qweft.files import check_can_be_written
from qweft.method.peft_methods import OWN
from qweft.method.saved import check_saved, read_saved
from qweft.models.resolve import check_model

SECTIONS = ("model", "data", "evaluation")
FILES = {"adapter_config.json", "adapter_model.safetensors", "README.md", "export.json"}
"""Files of an export."""


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
    output = (Path(config.output) if config.output else adapter.parent / "lora").resolve()
    _check_output(output, adapter)
    check_saved(adapter)
    _check_method(adapter)
    model, plan, _ = plan_rows(adapter, config.calibration, overrides)
    for data in (plan.held_out, plan.calibration):
        if data is not None:
            check_data_config(data)
            check_places(data)
    check_model(model, needs_weights)
    return config, overrides, output


def _check_output(output: Path, adapter: Path) -> None:
    """Raises unless the output folder is new, empty or an earlier export."""
    if output == adapter.resolve():
        raise QweftError(f"output {output} is the adapter itself; choose another --output")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if (held and ("export.json" not in held or held - FILES)) or (output.exists() and not output.is_dir()):
        raise QweftError(f"output {output} holds something that is no export; choose another --output")
    check_can_be_written(output.parent)


def _check_method(adapter: Path) -> None:
    """Raises unless the adapter is a QWTHN adapter."""
    method = read_saved(adapter).get("peft_type")
    if method != OWN:
        loads = "it is a LoRA already" if method == "LORA" else f"it is of PEFT's method {method}"
        raise QweftError(f"{adapter}: nothing to export, {loads}; export takes a QWTHN adapter")
