"""Checks that a file holds exactly the adapter: PEFT only warns if it does not, and the adapter then does nothing."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from peft.utils.other import AuxiliaryTrainingWrapper, TrainableTokensWrapper
from torch import nn

from qweft.adapter.config import QwthnConfig
from qweft.adapter.layer import QwthnLinear
from qweft.errors import QweftError
from qweft.internals.keys import SHARDED
from qweft.method.saved import file_key

DELTA = "trainable_tokens_delta"
"""PEFT's name for the trained embeddings of single tokens."""


def adapter_tensors(model: nn.Module, adapter_name: str, config: QwthnConfig) -> dict[str, torch.Tensor]:
    """Return the adapter's tensors by their keys in a file, without PEFT's prefix."""
    found: dict[str, torch.Tensor] = {}
    tensors = model.state_dict(keep_vars=True) if config.bias != "none" else {}
    found |= {file_key(key): tensors[place] for place, key in trained_biases(model, adapter_name, config).items()}
    for path, module in model.named_modules():
        name = file_key(path)
        if isinstance(module, QwthnLinear):
            for container in module.adapter_layer_names:
                parts: Any = getattr(module, container)
                if adapter_name in parts:
                    tensors = parts[adapter_name].state_dict(keep_vars=True)
                    found |= {f"{name}.{container}.{key}": tensor for key, tensor in tensors.items()}
        elif isinstance(module, AuxiliaryTrainingWrapper):
            tensors = module.state_dict(keep_vars=True)
            in_file = module.adapter_state_dict_load_map(adapter_name)
            found |= {f"{name}.{key}": tensors[place] for key, place in in_file.items()}
    return found


def has_copy(wrapper: AuxiliaryTrainingWrapper, adapter_name: str) -> bool:
    """Whether an adapter trains a copy of this module, or tokens of it."""
    if isinstance(wrapper, TrainableTokensWrapper):
        return adapter_name in wrapper.token_adapter.trainable_tokens_delta
    return adapter_name in wrapper.modules_to_save


def trained_biases(model: nn.Module, adapter_name: str, config: QwthnConfig) -> dict[str, str]:
    """Return the base model's biases that the config trains: keys in the model to keys in a file.

    A layer that only other adapters wrap has its plain name in the file. A head's bias is saved with the head.
    """
    if config.bias == "none":
        return {}
    own, heads = dict[str, bool](), []
    for name, module in model.named_modules():
        name = name.replace(SHARDED, "")  # as the keys of a state dict are
        if isinstance(module, QwthnLinear):
            own[f"{name}.base_layer.bias"] = adapter_name in module.qwthn_compress
        elif isinstance(module, AuxiliaryTrainingWrapper):
            heads.append(f"{name}.")
    keys = [key for key in model.state_dict() if f".{key}".endswith(".bias") and not key.startswith(tuple(heads))]
    if config.bias == "qwthn_only":
        keys = [key for key in keys if own.get(key)]
    return {key: key if own.get(key, True) else key.replace(".base_layer.bias", ".bias") for key in keys}


def check_tensors(
    model: nn.Module,
    adapter_name: str,
    config: QwthnConfig,
    found: Mapping[str, torch.Tensor],
    embeddings: bool = True,
    biases: bool = False,
) -> None:
    """Compare the tensors of a file with those that the adapter needs."""
    needed = adapter_tensors(model, adapter_name, config)
    replaced = _embeddings(model) if embeddings else {}
    given = {_without_name(file_key(key), adapter_name): found[key] for key in found}
    places = {key.rpartition(".")[0] for key in replaced}
    missing = sorted(needed.keys() - given.keys())
    unknown = sorted(key for key in given.keys() - needed.keys() - replaced.keys() if not _is_left_over(key, places))
    if biases:
        own = {file_key(key): tensor.shape for key, tensor in model.state_dict().items() if key.endswith(".bias")}
        unknown = [key for key in unknown if own.get(key) != given[key].shape]
    wrong = [f"{len(missing)} tensors are missing (first: {missing[0]})"] if missing else []
    wrong += [f"{len(unknown)} are not known (first: {unknown[0][:200]})"] if unknown else []
    replaced = {key: tensor for key, tensor in replaced.items() if key in given.keys() - needed.keys()}
    for key, present in sorted((needed | replaced).items() if not wrong else ()):
        held = given[key]
        if (held.shape, held.is_floating_point()) != (present.shape, present.is_floating_point()):
            wrong = [f"size mismatch, {key} is {_by(held)} there, and {_by(present)} by its config on this model"]
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


def _is_left_over(key: str, embeddings: set[str]) -> bool:
    """Whether a key is a second copy of a trained embedding, which PEFT writes after a resize of the vocabulary."""
    return any(
        part in key and key.split(part)[0] in embeddings
        for part in (".modules_to_save.", ".original_module.", ".token_adapter.")
    )


def _without_name(key: str, adapter_name: str) -> str:
    """Return the key as in a file: PEFT inserts the adapter's name into keys of heads and tokens."""
    key = key.removesuffix(f".{adapter_name}") if key.endswith(f".{DELTA}.{adapter_name}") else key
    return key.replace(f".modules_to_save.{adapter_name}.", ".")


def _by(tensor: torch.Tensor) -> str:
    size = " x ".join(map(str, tensor.shape)) or "a single number"
    return size if tensor.is_floating_point() else f"{size} of no real numbers"


def _embeddings(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of the embeddings, which PEFT also saves after a resize of the vocabulary."""
    found: dict[str, torch.Tensor] = {}
    for get in ("get_input_embeddings", "get_output_embeddings"):
        try:
            embedding = getattr(model, get)()
        except (AttributeError, NotImplementedError):
            continue
        for path, module in model.named_modules():
            if embedding is not None and module is embedding:
                # inside a wrapper, since the file may come from a model without one
                inner = getattr(module, "original_module", module)
                found |= {f"{file_key(path)}.{key}": tensor for key, tensor in inner.state_dict().items()}
    return found
