"""An adapter's folder: its config, its safetensors file, and the fields that adapters must share to swap tensors."""

import os
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from peft import PeftConfig
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors import SafetensorError, safe_open

from qweft.adapter.config import QwthnConfig
from qweft.errors import QweftError
from qweft.method.saved import read_saved, unreadable
from qweft.text import cut

HUB_ARGUMENTS = tuple(name for name in signature(hf_hub_download).parameters if name not in ("repo_id", "filename"))
"""Arguments that decide where a file is fetched from, selected as PEFT selects them."""
STRUCTURE = (
    *("compress", "core", "expand", "r", "rank_pattern", "width", "share", "basis_bits", "bond_dimension", "modes"),
    *("circuit", "circuit_layers", "reupload", "fourier_terms", "qubits"),
    *("dropout", "bias", "trainable_token_indices"),
)
"""Fields that the model already has built when tensors arrive; equal shapes do not imply equal fields."""
SCALES = ("alpha", "alpha_pattern", "factor_limit")
"""Further ones that decide what the tensors compute; `hotswap_adapter` takes them over."""


def read_config(folder: Path) -> PeftConfig:
    """Return the config of an adapter of any of PEFT's methods."""
    read_saved(folder)
    path = folder / CONFIG_NAME
    try:
        config: PeftConfig = PeftConfig.from_pretrained(str(folder))
    except QweftError as error:
        raise QweftError(f"{path}: {error}") from error
    except Exception as error:  # ImportError of a package that a method needs, and anything over a wrong value
        raise QweftError(
            f"{path}: PEFT does not read it ({type(error).__name__}: {cut(str(error), 300)}); install what its method "
            "needs, or get the file that was saved with the adapter"
        ) from error
    return config


def find_weights(adapter: str | os.PathLike[str], subfolder: str | None = None, **hub: Any) -> Path:
    """Return the path of the adapter's safetensors file, in a local folder or in the hub's cache."""
    folder = Path(adapter, subfolder or "")
    if not folder.is_dir():
        try:
            return Path(hf_hub_download(str(adapter), SAFETENSORS_WEIGHTS_NAME, subfolder=subfolder or None, **hub))
        except LocalEntryNotFoundError as error:
            raise QweftError(
                f"{SAFETENSORS_WEIGHTS_NAME} of {adapter} is not in the cache, and the hub was not reached; check the "
                "connection, or fill the cache"
            ) from error
        except EntryNotFoundError:
            pass
    elif (folder / SAFETENSORS_WEIGHTS_NAME).is_file():
        return folder / SAFETENSORS_WEIGHTS_NAME
    raise QweftError(
        f"{folder} holds no {SAFETENSORS_WEIGHTS_NAME} of an adapter ({WEIGHTS_NAME}, a pickle, could run code and is "
        f"not read); save it again as {SAFETENSORS_WEIGHTS_NAME}"
    )


def find_config(adapter: str | os.PathLike[str], subfolder: str | None = None, **hub: Any) -> Path:
    """Return the path of the adapter's config, in a local folder or in the hub's cache, as PEFT looks for it."""
    path = Path(adapter, subfolder or "", CONFIG_NAME)
    if path.is_file():
        return path
    try:
        return Path(hf_hub_download(str(adapter), CONFIG_NAME, subfolder=subfolder, **hub))
    except Exception as error:  # not a hub id, no connection, no such file: PEFT does not distinguish them
        raise ValueError(f"there is no {CONFIG_NAME} in {adapter}") from error


def read_header(path: Path) -> dict[str, torch.Tensor]:
    """Return the file's tensors by name, on the meta device: their shapes, as real numbers or as whole ones."""
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  it is no dictionary
            kinds = {key: torch.float32 if "F" in each.get_dtype() else torch.int64 for key, each in slices.items()}
            return {k: torch.empty(each.get_shape(), dtype=kinds[k], device="meta") for k, each in slices.items()}
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    except (RuntimeError, OverflowError, TypeError) as error:  # torch's, whose words are pages long
        raise unreadable(path, ValueError("a tensor has a size that none has")) from error


def check_same_structure(new: QwthnConfig, old: QwthnConfig, what: str, fields: Sequence[str] = STRUCTURE) -> None:
    """Compare the config of an adapter with that of the adapter that its tensors will replace."""
    if not isinstance(new, QwthnConfig):
        raise QweftError(f"{what} is of type {new.peft_type}, which cannot take the place of a QWTHN adapter")
    for name in fields:
        if getattr(old, name) != getattr(new, name):
            raise QweftError(
                f"{what} cannot take the place of the one that is here: {name} is {getattr(new, name)!r} there and "
                f"{getattr(old, name)!r} here; load it under another name with load_adapter"
            )
