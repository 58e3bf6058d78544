"""The file that an adapter is read from: safetensors alone, and its header before any tensor."""

import os
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors import SafetensorError, safe_open

from qweft.errors import QweftError

HUB_ARGUMENTS = tuple(name for name in signature(hf_hub_download).parameters if name not in ("repo_id", "filename"))
"""What decides where a file is fetched from, as PEFT tells it from its other arguments."""


def find_weights(adapter: str | os.PathLike[str], subfolder: str | None = None, **hub: Any) -> Path:
    """The adapter's safetensors file, in a local folder or on the hub (then in the cache, where loading looks for it).

    Args:
        adapter: A folder or hub id.
        subfolder: Where in it the adapter is.
        **hub: What goes to `hf_hub_download`.

    Raises:
        QweftError: If there is no such file. A pickled one is not read: it could run code.
    """
    folder = Path(adapter, subfolder or "")
    local = folder.is_dir()
    if local:
        path = folder / SAFETENSORS_WEIGHTS_NAME
        if path.is_file():
            return path
    else:
        try:
            return Path(hf_hub_download(str(adapter), SAFETENSORS_WEIGHTS_NAME, subfolder=subfolder or None, **hub))
        except LocalEntryNotFoundError as error:
            raise QweftError(
                f"{SAFETENSORS_WEIGHTS_NAME} of {adapter} is not in the cache, and the hub was not reached (a "
                f"{WEIGHTS_NAME} is not read); check the connection, or fill the cache"
            ) from error
        except EntryNotFoundError:
            pass
    where = folder if local else adapter
    if local and (folder / WEIGHTS_NAME).exists():
        raise QweftError(
            f"the adapter in {where} is stored as {WEIGHTS_NAME}, a pickle, which can run code when it is read; save "
            f"it again as {SAFETENSORS_WEIGHTS_NAME}"
        )
    raise QweftError(
        f"{where} holds no {SAFETENSORS_WEIGHTS_NAME}, the file of the adapter's weights (a {WEIGHTS_NAME} is not "
        "read); copy it there, or save the adapter again"
    )


def find_config(adapter: str | os.PathLike[str], subfolder: str | None = None, **hub: Any) -> Path:
    """The adapter's config, in a local folder or on the hub, as PEFT looks for it.

    Args:
        adapter: A folder or hub id.
        subfolder: Where in it the adapter is.
        **hub: What goes to `hf_hub_download`.

    Raises:
        ValueError: If there is none, or the hub did not answer.
    """
    path = Path(adapter, subfolder or "", CONFIG_NAME)
    if path.is_file():
        return path
    try:
        return Path(hf_hub_download(str(adapter), CONFIG_NAME, subfolder=subfolder, **hub))
    except Exception as error:  # what is no hub id, no connection, no such file: PEFT makes no difference
        raise ValueError(f"there is no {CONFIG_NAME} in {adapter}") from error


FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Types of real numbers, as safetensors calls them; all others stand here for whole ones."""


def read_header(path: Path) -> dict[str, torch.Tensor]:
    """The file's tensors by name, as shapes and types without memory; what are no real numbers are whole ones.

    Raises:
        QweftError: If the file is cut short or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            slices = {key: file.get_slice(key) for key in keys}
            return {
                key: torch.empty(each.get_shape(), dtype=FLOATS.get(each.get_dtype(), torch.int64), device="meta")
                for key, each in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise QweftError(
            f"{path} cannot be read as safetensors ({error}); it was probably cut short while it was written or "
            "copied: get it again"
        ) from error
