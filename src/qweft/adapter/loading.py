"""Reads an adapter's folder, and checks that its file holds exactly the adapter before it is loaded.

PEFT and transformers have no hook before a pickle is opened or weights are overwritten: three functions are wrapped.
"""

import inspect
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import copy
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from peft import PeftConfig, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from torch import nn

from qweft.adapter.config import QwthnConfig, peft_type
from qweft.adapter.layer import QwthnLinear
from qweft.errors import QweftError
from qweft.internals.keys import COMPILED, is_compiled
from qweft.method.saved import file_key, read_saved, unreadable
from qweft.text import cut

HUB_ARGUMENTS = tuple(
    name for name in inspect.signature(hf_hub_download).parameters if name not in ("repo_id", "filename")
)
"""Arguments that decide where a file is fetched from, selected as PEFT selects them."""
STRUCTURE = (
    *("compress", "core", "expand", "r", "rank_pattern", "width", "share", "basis_bits", "bond_dimension", "modes"),
    *("circuit", "circuit_layers", "reupload", "fourier_terms", "qubits"),
    *("dropout", "bias", "trainable_token_indices"),
)
"""Fields that the model already has built when tensors arrive; equal shapes do not imply equal fields."""
SCALES = ("alpha", "alpha_pattern", "factor_limit")
"""Further ones that decide what the tensors compute; `hotswap_adapter` takes them over."""
COPIES = ("original_module.", "token_adapter.")
"""How keys of an embedding go on in a wrapper of PEFT's."""
BY_PEFT: Mapping[str, torch.Tensor] = {}
"""What stands for a file that PEFT reads: `QwthnModel` sees its tensors before they are loaded, and checks them."""
_file: ContextVar[Mapping[str, torch.Tensor] | None] = ContextVar("file", default=None)


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


def read_header(path: Path) -> dict[str, torch.Tensor]:
    """Return the file's tensors by name, on the meta device: their shapes, as real numbers or as whole ones."""
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  it is no dictionary
            kinds = {key: torch.float32 if "F" in each.get_dtype() else torch.int64 for key, each in slices.items()}
            return {k: torch.empty(each.get_shape(), dtype=kinds[k], device="meta") for k, each in slices.items()}
    except (SafetensorError, OSError, RuntimeError, OverflowError, TypeError) as error:  # the last ones of a wrong size
        raise unreadable(path, error) from error


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


def check_not_merged(layers: Iterable[BaseTunerLayer], adapter_name: str) -> None:
    """Raise if an adapter is merged into one of these layers."""
    if any(adapter_name in layer.merged_adapters for layer in layers):
        raise QweftError(f"adapter {adapter_name!r} is merged into the base model; call unmerge_adapter() first")


def adapter_tensors(model: nn.Module, adapter_name: str) -> dict[str, torch.Tensor]:
    """Return the adapter's tensors by their keys in a file, without PEFT's prefix."""
    found = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    return {file_key(key): tensor for key, tensor in found.items()}


def check_tensors(
    model: nn.Module, adapter_name: str, found: Mapping[str, torch.Tensor], embeddings: bool = True
) -> None:
    """Compare the tensors of a file with those that the adapter needs; it may also hold embeddings."""
    given = {head_key(file_key(key)): tensor for key, tensor in found.items()}
    wanted = adapter_tensors(model, adapter_name)
    missing = sorted(wanted.keys() - given.keys())
    replaced = _embeddings(model) if embeddings else {}
    # PEFT writes a second copy of a trained embedding after a resize of the vocabulary
    copies = tuple(f"{key.rpartition('.')[0]}.{part}" for key in replaced for part in COPIES)
    unknown = sorted(key for key in given.keys() - wanted.keys() - replaced.keys() if not key.startswith(copies))
    wrong = [f"{len(missing)} tensors are missing (first: {missing[0]})"] if missing else []
    wrong += [f"{len(unknown)} are not known (first: {unknown[0][:200]})"] if unknown else []
    replaced = {key: tensor for key, tensor in replaced.items() if key in given.keys() - wanted.keys()}
    for key, tensor in (wanted | replaced).items() if not wrong else ():
        there = given[key]
        if (there.shape, there.is_floating_point()) != (tensor.shape, tensor.is_floating_point()):
            kinds = ["real" if each.is_floating_point() else "whole" for each in (there, tensor)]
            wrong = [
                f"size mismatch, {key} is {list(there.shape)} ({kinds[0]}) there, and {list(tensor.shape)} "
                f"({kinds[1]}) by its config on this model"
            ]
            break
    if wrong:
        raise QweftError(
            f"the file of adapter {adapter_name!r} does not fit the model: {' and '.join(wrong)}; load it on the base "
            "model and with the adapter_config.json that it was trained with"
        )
    if replaced:
        warnings.warn(
            f"the file of adapter {adapter_name!r} holds embeddings of the base model ({', '.join(sorted(replaced))}), "
            "as PEFT saves them after a change of the vocabulary; they replace those of this model, for every adapter",
            stacklevel=2,
        )


def check_finite(adapter_name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Check that an adapter's tensors have no NaN or infinity."""
    for key, tensor in sorted(tensors.items()):
        if not tensor.is_meta and not bool(torch.isfinite(tensor.detach().float()).all()):
            raise QweftError(
                f"the file of adapter {adapter_name!r} holds numbers that are none (NaN or infinite, first in {key}): "
                "its training diverged, or the file was damaged; load an earlier checkpoint, or train at a lower rate"
            )


def head_key(key: str) -> str:
    """Return a key without PEFT's name for the modules that are trained whole, which some files have."""
    return key.replace(".modules_to_save.", ".")


def _embeddings(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of the embeddings, which PEFT also saves after a resize of the vocabulary."""
    embeddings = []
    for get in ("get_input_embeddings", "get_output_embeddings"):
        with suppress(AttributeError, NotImplementedError):
            embeddings.append(getattr(model, get)())
    return {
        f"{file_key(path)}.{key}": tensor
        for path, module in model.named_modules()
        if any(module is each for each in embeddings)
        # inside a wrapper, since the file may come from a model without one
        for key, tensor in getattr(module, "original_module", module).state_dict().items()
    }


def check_announced(model: nn.Module, adapter_name: str) -> None:
    """Check an adapter that was just attached against the file that transformers is about to load into it, if any."""
    found = _file.get()
    if found is not None and found is not BY_PEFT:
        check_tensors(model, adapter_name, found)


@contextmanager
def _loading(root: Any, adapter_name: str, found: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Load an adapter in the body: check its tensors, and leave the model as it was on an error."""
    token = _file.set(found)
    try:
        with untouched_on_error(root):
            yield
            for layer in root.modules():  # transformers sets tensors without calling the modules that hold them
                if isinstance(layer, QwthnLinear) and adapter_name in layer.qwthn_core:
                    layer.branch_of(adapter_name).look_again()
            check_finite(adapter_name, adapter_tensors(root, adapter_name))
    except KeyError as error:  # PEFT's, of a module that is trained whole
        raise QweftError(f"the file of adapter {adapter_name!r} does not fit the model: {error} is missing") from error
    finally:
        _file.reset(token)


@contextmanager
def untouched_on_error(root: nn.Module) -> Iterator[None]:
    """If the body fails, put back all modules with their attributes, and `requires_grad`; tensors are not copied."""
    flags = [(parameter, parameter.requires_grad) for parameter in root.parameters()]
    attributes = [(vars(module), dict(vars(module))) for module in root.modules()]
    # dictionaries, lists and sets are filled again in place: PEFT shares some of them
    contents = [(v, copy(v)) for _, held in attributes for v in held.values() if isinstance(v, dict | list | set)]
    try:
        yield
    except BaseException:
        for present, before in attributes:
            present.clear()
            present.update(before)
        for value, content in contents:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(content)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        raise


def _is_qwthn(adapter: Any, config: Any, hub: Mapping[str, Any]) -> bool:
    """Whether the config, or that of the folder or hub id, is of this method."""
    method = config.get("peft_type") if isinstance(config, dict) else getattr(config, "peft_type", None)
    if method is None and adapter is not None:
        path = Path(adapter, hub.get("subfolder") or "", CONFIG_NAME)
        try:
            path = path if path.is_file() else Path(hf_hub_download(str(adapter), CONFIG_NAME, **hub))
            method = PeftConfig.from_json_file(str(path))["peft_type"]
        except Exception:  # no hub id, no connection, no such file: the wrapped function reports it in its own words
            return False
    return method is not None and method == peft_type()


def _arguments(function: Any, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of a call by name, and those that decide where a file is fetched from."""
    given = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    given |= given.pop("kwargs", {})
    # transformers takes some of them in objects
    downloads = getattr(given.get("load_config"), "download_kwargs", None) or {}
    named = {**downloads, **given, **(given.get("adapter_kwargs") or {})}
    return given, {name: named[name] for name in HUB_ARGUMENTS if named.get(name) is not None}


def peft_from_pretrained(original: Any) -> Any:
    """Return PEFT's `from_pretrained`, which `AutoPeftModel` calls, with checks of the file."""

    def from_pretrained(cls: Any, model: Any, model_id: Any, *args: Any, **kwargs: Any) -> Any:
        given, hub = _arguments(original, cls, model, model_id, *args, **kwargs)
        config = given.get("config")
        if not _is_qwthn(model_id, config, hub):
            return original(cls, model, model_id, *args, **kwargs)
        if config is not None:
            check_same_structure(PeftConfig.from_pretrained(str(model_id), **hub), config, f"the adapter in {model_id}")
        read_header(find_weights(model_id, **hub))
        with _loading(model, given.get("adapter_name", "default"), BY_PEFT):
            return original(cls, model, model_id, *args, **kwargs)

    return from_pretrained


def peft_load_adapter(original: Any) -> Any:
    """Return PEFT's `load_adapter`, which `from_pretrained` calls, with checks of the file."""

    def load_adapter(self: Any, model_id: Any, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        given, hub = _arguments(original, self, model_id, adapter_name, *args, **kwargs)
        present = self.peft_config.get(adapter_name)
        if not _is_qwthn(model_id, present, hub):
            return original(self, model_id, adapter_name, *args, **kwargs)
        if not given.get("key_mapping") and is_compiled(self.get_base_model()):
            kwargs["key_mapping"] = {"^": COMPILED}  # PEFT looks for modules_to_save by their names in the model
        if _file.get() is not None:  # called by from_pretrained, which has found the file
            return original(self, model_id, adapter_name, *args, **kwargs)
        read_header(find_weights(model_id, **hub))
        if present is not None:
            layers = [layer for layer in self.modules() if isinstance(layer, QwthnLinear)]
            check_not_merged(layers, adapter_name)  # unmerging would subtract the new weights
            new = PeftConfig.from_pretrained(str(model_id), **hub)
            check_same_structure(new, present, f"the adapter in {model_id}", (*STRUCTURE, *SCALES))
        with _loading(self.get_base_model(), adapter_name, BY_PEFT):
            return original(self, model_id, adapter_name, *args, **kwargs)

    return load_adapter


def transformers_load_adapter(original: Any) -> Any:
    """Return transformers' `load_adapter`, which its `from_pretrained` calls, with checks of the file."""

    def load_adapter(self: Any, *args: Any, **kwargs: Any) -> Any:
        given, hub = _arguments(original, self, *args, **kwargs)
        adapter = given.get("peft_model_id") or getattr(given.get("load_config"), "pretrained_model_name_or_path", None)
        if not _is_qwthn(adapter, given.get("peft_config"), hub):
            return original(self, *args, **kwargs)
        found = given.get("adapter_state_dict")
        if found is None and adapter is not None:
            found = read_header(find_weights(adapter, **hub))
            kwargs["use_safetensors"] = True  # else a pickle next to the file would be read first
        if any(COMPILED in key for key, _ in self.named_parameters()):
            raise QweftError(
                "modules of this model are compiled one by one, and transformers finds no tensor by their names; load "
                "the adapter first, and compile then"
            )
        with _loading(self, given.get("adapter_name") or "default", dict(found or {})):
            return original(self, *args, **kwargs)

    return load_adapter
