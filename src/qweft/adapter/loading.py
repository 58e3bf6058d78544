"""Reads an adapter's folder, and checks that its file holds exactly the adapter before it is loaded.

PEFT and transformers have no hook before a pickle is opened: their `load_adapter` is wrapped. Tensors of every path are
checked in `QwthnModel._remap_adapter_state_dict_for_load`, before a weight of the model is written.
"""

import inspect
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from peft import PeftConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from qweft.adapter.config import QwthnConfig, peft_type
from qweft.core.errors import QweftError
from qweft.core.text import join_few, shorten
from qweft.internals.keys import COMPILED, is_compiled
from qweft.internals.peft import HAS_ADAPTERS
from qweft.method.saved import file_key, read_saved, shapes_in, unreadable

HUB_ARGUMENTS = tuple(
    name for name in inspect.signature(hf_hub_download).parameters if name not in ("repo_id", "filename")
)
"""Arguments that decide where a file is fetched from, selected as PEFT selects them."""


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
            f"{path}: PEFT does not read it ({type(error).__name__}: {shorten(str(error), 300)}); install what its "
            "method needs, or get the file that was saved with the adapter"
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


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of an adapter's file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def check_same_structure(new: PeftConfig, old: QwthnConfig, left_out: Iterable[str] = ("basis", "heads")) -> None:
    """Compare the config of an adapter with that of the adapter whose place its tensors take."""
    if not isinstance(new, QwthnConfig):
        raise QweftError(f"an adapter of type {new.peft_type} cannot take the place of a QWTHN adapter")
    there, here = ({**asdict(each.resolved()), "heads": set(each.modules_to_save or ())} for each in (new, old))
    for name in sorted(here.keys() - set(left_out)):
        if there[name] != here[name]:
            raise QweftError(
                f"this adapter cannot take the place of the one on the model: {name} is {there[name]!r} there and "
                f"{here[name]!r} here; load it under another name with load_adapter"
            )


def check_not_merged(layers: Iterable[BaseTunerLayer], adapter_name: str) -> None:
    """Raise if an adapter is merged into one of these layers."""
    if any(adapter_name in layer.merged_adapters for layer in layers):
        raise QweftError(f"adapter {adapter_name!r} is merged into the base model; call unmerge_adapter() first")


def check_tensors(model: Any, adapter_name: str, given: Mapping[str, torch.Tensor]) -> None:
    """Compare tensors by their keys in a file with those of the adapter; it may hold embeddings and biases, too."""
    own = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    wanted = {head_key(file_key(key)): tensor for key, tensor in own.items()}
    embeddings = set()
    for get in ("get_input_embeddings", "get_output_embeddings"):
        with suppress(AttributeError, NotImplementedError):
            embeddings.add(getattr(model, get)())
    places = tuple(f"{file_key(path)}." for path, module in model.named_modules() if module in embeddings)
    missing, others = sorted(wanted.keys() - given.keys()), given.keys() - wanted.keys()
    present = {key for key in map(file_key, model.state_dict()) if key.startswith(places) or key.endswith(".bias")}
    # PEFT saves embeddings after a resize of the vocabulary, and biases that were trained
    replaced = sorted(key for key in others & present if given[key].is_floating_point())
    unknown = sorted(others - set(replaced))
    wrong = [f"{len(missing)} tensors are missing (first: {missing[0]})"] if missing else []
    wrong += [f"{len(unknown)} are not known (first: {unknown[0][:200]})"] if unknown else []
    for key in wanted if not wrong else ():
        there, here = ((list(each[key].shape), each[key].is_floating_point()) for each in (given, wanted))
        if there != here:
            kinds = ["real" if is_real else "whole" for _, is_real in (there, here)]
            wrong = [
                f"size mismatch, {key} is {there[0]} ({kinds[0]}) there, and {here[0]} ({kinds[1]}) by its config on "
                "this model"
            ]
            break
    if wrong:
        raise QweftError(
            f"the file of adapter {adapter_name!r} does not fit the model: {' and '.join(wrong)}; load it on the base "
            "model and with the adapter_config.json that it was trained with"
        )
    for key, tensor in sorted(given.items()):
        if not bool(torch.isfinite(tensor.float()).all()):
            raise QweftError(
                f"the file of adapter {adapter_name!r} holds numbers that are none (NaN or infinite, first in {key}): "
                "its training diverged, or the file was damaged; load an earlier checkpoint, or train at a lower rate"
            )
    if replaced:
        warnings.warn(
            f"the file of adapter {adapter_name!r} holds embeddings or biases of the base model "
            f"({join_few(replaced)}); they replace those of this model, for every adapter",
            stacklevel=2,
        )


def head_key(key: str) -> str:
    """Return a key without PEFT's name for the modules that are trained whole, which some files have."""
    return key.replace(".modules_to_save.", ".")


def _is_qwthn(adapter: Any, config: Any, hub: Mapping[str, Any]) -> bool:
    """Whether the config, or that of the folder or hub id, is of this method."""
    method = getattr(config, "peft_type", None)
    if method is None and adapter is not None:
        path = Path(adapter, hub.get("subfolder") or "", CONFIG_NAME)
        try:
            path = path if path.is_file() else Path(hf_hub_download(str(adapter), CONFIG_NAME, **hub))
            method = PeftConfig.from_json_file(str(path))["peft_type"]
        except Exception:  # no hub id, no connection, no such file: the wrapped function reports it in its own words
            return False
    return method is not None and method == peft_type()


def _hub(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in HUB_ARGUMENTS if given.get(name) is not None}


def peft_load_adapter(original: Any) -> Any:
    """Return PEFT's `load_adapter`, which `from_pretrained` calls, with checks before a file is opened."""

    def load_adapter(self: Any, model_id: Any, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        hub, present = _hub(kwargs), self.peft_config.get(adapter_name)
        if _is_qwthn(model_id, present, hub):
            shapes_in(find_weights(model_id, **hub))
            if present is not None:
                check_not_merged((m for m in self.modules() if isinstance(m, BaseTunerLayer)), adapter_name)
                check_same_structure(PeftConfig.from_pretrained(str(model_id), **hub), present)
            if is_compiled(self.get_base_model()):  # PEFT looks for modules_to_save by their names in the model
                kwargs["key_mapping"] = kwargs.get("key_mapping") or {"^": COMPILED}
        return original(self, model_id, adapter_name, *args, **kwargs)

    return load_adapter


def peft_save_pretrained(original: Any) -> Any:
    """Return PEFT's `save_pretrained`, which with a pickle also saves the safetensors that loading reads."""

    def save_pretrained(self: Any, save_directory: Any, safe_serialization: bool = True, *args: Any, **kw: Any) -> None:
        if not safe_serialization and any(isinstance(each, QwthnConfig) for each in self.peft_config.values()):
            original(self, save_directory, True, *args, **kw)
        original(self, save_directory, safe_serialization, *args, **kw)

    return save_pretrained


def transformers_load_adapter(original: Any) -> Any:
    """Return transformers' `load_adapter`, which its `from_pretrained` calls; adapters of this method go PEFT's way."""

    def load_adapter(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(original).bind_partial(self, *args, **kwargs).arguments
        place, name = given.get("load_config"), given.get("adapter_name") or "default"
        # transformers takes some arguments in objects
        downloads = getattr(place, "download_kwargs", None) or {}
        hub = _hub({**downloads, **given, **given.get("kwargs", {}), **(given.get("adapter_kwargs") or {})})
        adapter: Any = given.get("peft_model_id") or getattr(place, "pretrained_model_name_or_path", None)
        config = given.get("peft_config")
        if name in getattr(self, "peft_config", {}) or not _is_qwthn(adapter, config, hub):
            return original(self, *args, **kwargs)
        tensors = given.get("adapter_state_dict")
        if tensors is None:
            tensors = read_tensors(find_weights(adapter, **hub))
        config = config or PeftConfig.from_pretrained(str(adapter), **hub)
        config.inference_mode = not given.get("is_trainable")
        inject_adapter_in_model(config, self, name)
        setattr(self, HAS_ADAPTERS, True)
        self.train(self.training and not config.inference_mode)
        return set_peft_model_state_dict(self, {head_key(file_key(k)): each for k, each in tensors.items()}, name)

    return load_adapter
