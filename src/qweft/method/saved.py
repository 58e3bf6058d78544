"""The files of a saved adapter, as far as they are read without PyTorch and PEFT."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from qweft.core.errors import QweftError
from qweft.core.records import read_json
from qweft.internals.keys import COMPILED, SHARDED
from qweft.method.checks import check_drawn_start
from qweft.method.fields import QwthnFields
from qweft.method.peft_methods import OWN
from qweft.method.specification import OWN_FIELDS

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OUTSIDE = {
    "megatron_config": "a module that would be imported",
    "shadow_model": "another model that PEFT would load",
    "prompt_tuning_init_state_dict_path": "a file that PEFT would read",
}
"""Fields by which an adapter reaches outside its folder."""
PEFT_PREFIX = "base_model.model."


def check_folder(adapter: Path) -> None:
    """Check that a folder holds an adapter."""
    for name in (CONFIG, WEIGHTS):
        if not (adapter / name).is_file():
            below = adapter / "adapter"  # of a run
            is_below = (below / CONFIG).is_file()
            way = f"did you mean {below}?" if is_below else "give the folder that an adapter was saved to"
            raise QweftError(f"{adapter}: no {name} in it; {way}")


def file_key(key: str) -> str:
    """Return the key without the prefixes of wrappers: PEFT's, `torch.compile`'s, and FSDP's."""
    return f"{key}.".replace(COMPILED, "").replace(SHARDED, "")[:-1].removeprefix(PEFT_PREFIX)


def check_saved(folder: Path) -> None:
    """Check the files of a saved adapter as far as that is possible without PEFT."""
    check_folder(folder)
    read_saved(folder)
    shapes_in(folder / WEIGHTS)


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in an adapter's file, by their names."""
    try:
        with safe_open(path, framework="np") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  no dictionary
    except (SafetensorError, OSError, OverflowError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> QweftError:
    """Return the error about a file that is no safetensors."""
    return QweftError(
        f"{path} cannot be read as safetensors ({str(error)[:200]}); it was probably cut short while it was written or "
        "copied: get it again"
    )


def read_saved(folder: Path) -> dict[str, Any]:
    """Return the config of a saved adapter as its file has it. Fields of other methods are left to PEFT."""
    path = folder / CONFIG
    saved = read_json(path, "save the adapter again, or get the file that was saved with it")
    method = saved.get("peft_type")
    if method == "XLORA":
        raise QweftError(f"{path}: X-LoRA names other folders that PEFT would read; load it with PEFT, if you trust it")
    for name, what in OUTSIDE.items():
        if saved.get(name) not in (None, "", {}, "mirror"):
            raise QweftError(f"{path}: {name} names {what}; remove it from the file, or load it with PEFT")
    for name in ("base_model_name_or_path", "revision"):
        value = saved.get(name)
        if value is not None and not isinstance(value, str):
            raise QweftError(f"{path}: {name} must be a text, got {str(value)[:80]}; name the base model there")
    try:
        check_drawn_start(saved.get("init_lora_weights"))
        if method == OWN:
            QwthnFields(**{name: saved[name] for name in OWN_FIELDS if name in saved})
    except QweftError as error:
        raise QweftError(f"{path}: {error}") from error
    except (TypeError, ValueError, AttributeError):
        pass  # PEFT, which gets the same values, says what is wrong
    return saved
