"""LoRA's start from gradients (LoRA-GA, arXiv 2407.05000), which needs training rows and rewrites base weights.

    A, B                from the leading singular vectors of the gradient by W0, found by PEFT
    W0' = W0 - s B A    so that the model computes the same at first

Without gradients PEFT falls back to LoRA's usual start and says nothing.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from peft.tuners.lora import LoraLayer, LoraModel
from peft.tuners.lora.loraga import get_target_modules, preprocess_loraga
from safetensors.torch import load_file, save_file

from qweft.adapter.attach import attach
from qweft.adapter.counting import all_linear
from qweft.data.batches import Collator
from qweft.data.tokens import Encoded
from qweft.errors import OutOfMemoryError, QweftError, told_of_memory
from qweft.evaluation.loss import target_loss
from qweft.files import write_json
from qweft.method.saved import CONFIG, WEIGHTS
from qweft.text import with_progress
from qweft.training.config import TrainingConfig

KEPT = "qweft_rewritten"
"""Attribute on the adapted model: the base weights and the adapter's tensors before its first step, by name."""


def attach_for_training(
    model: Any, config: PeftConfig, rows: Sequence[Encoded], pad_token_id: int, training: TrainingConfig
) -> Any:
    """Return the model with the adapter, as `attach`; LoRA with `init_lora_weights="lora_ga"` starts from gradients."""
    if not isinstance(config, LoraConfig) or config.init_lora_weights != "lora_ga":
        return attach(model, config)
    if config.target_modules is None:
        usual = LoraModel.target_module_mapping.get(LoraModel.get_model_config(model)["model_type"])
        if usual is None:
            return attach(model, config)  # which says that PEFT has none for this type
        config.target_modules = usual if isinstance(usual, str) else set(usual)
    if isinstance(config.target_modules, str) and config.target_modules.lower() == "all-linear":
        config.target_modules = set(all_linear(model))  # PEFT's start takes the word for a pattern
    collate, size = Collator(pad_token_id), training.batch_size
    drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(training.seed))
    chosen = [rows[place] for place in drawn[: training.rows_for_bases()].tolist()]
    batches = [chosen[at : at + size] for at in range(0, len(chosen), size)]

    def sum_gradients() -> None:
        for batch in map(collate, with_progress(batches, "finding LoRA's start", "row", len)):
            labels = batch.pop("labels")
            outputs = model(**{key: value.to(model.device) for key, value in batch.items()})
            target_loss(outputs, labels).backward()

    targets = dict(get_target_modules(model, config))
    before = {name: module.weight.detach().clone() for name, module in targets.items()}
    try:
        with told_of_memory(f"lower training.batch_size (now {size}), or shorten data.max_length"):
            preprocess_loraga(model, config, sum_gradients)
    except OutOfMemoryError:
        raise
    except (ValueError, RuntimeError) as error:
        raise QweftError(
            f"init_lora_weights lora_ga cannot start on target_modules {config.target_modules}: {error}; name linear "
            "layers of plain numbers"
        ) from error
    try:
        adapted = attach(model, config)
        _check_no_embedding(adapted)
    except BaseException:
        for name, module in targets.items():  # some of them may be rewritten
            module.weight.data.copy_(before[name])
        raise
    factors = {key: value.detach().clone() for key, value in adapted.state_dict().items() if ".lora_" in key}
    vars(adapted)[KEPT] = (before, factors)
    return adapted


def _check_no_embedding(adapted: Any) -> None:
    """Raise for an adapted embedding or head: PEFT saves its weights beside it, as they are then."""
    base = adapted.get_base_model()
    if any(isinstance(each, LoraLayer) for each in (base.get_input_embeddings(), base.get_output_embeddings())):
        raise QweftError(
            "init_lora_weights lora_ga cannot start on embeddings or the head, whose rewritten weights PEFT would save "
            "too; leave them out of target_modules"
        )


def rewrites(model: Any) -> bool:
    """Whether an adapter's start rewrote base weights, so that its file differs from the adapter on the model."""
    return KEPT in vars(model)


def restore_weights(model: Any) -> None:
    """Give the base model the weights back that its adapter's start rewrote, if it did; before the adapter goes."""
    before, _ = vars(model).pop(KEPT, ({}, {}))
    for name, weight in before.items():
        model.get_base_model().get_submodule(name).get_base_layer().weight.data.copy_(weight)


def save_on_plain_weights(model: Any, folder: Path) -> None:
    """Turn a saved adapter that needs rewritten base weights into one of twice the rank that needs the plain ones.

    W0' + s B A = W0 + s (B A - B0 A0) = W0 + s [B, -B0] [A; A0]
    """
    starts = _starts(model)
    if starts is None:
        return
    tensors = load_file(folder / WEIGHTS)
    for key, value in tensors.items():
        if ".lora_" not in key:  # embeddings that were resized
            continue
        start = starts[key].to(value.dtype).to("cpu")
        tensors[key] = torch.cat([value, start], 0) if ".lora_A." in key else torch.cat([value, -start], 1)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    alpha = math.sqrt(2) if config.get("use_rslora") else 2  # of twice the rank, so that s stays
    config |= {"r": 2 * config["r"], "lora_alpha": alpha * config["lora_alpha"], "init_lora_weights": True}
    config["rank_pattern"] = {name: 2 * r for name, r in (config.get("rank_pattern") or {}).items()}
    config["alpha_pattern"] = {name: alpha * a for name, a in (config.get("alpha_pattern") or {}).items()}
    write_json(folder / CONFIG, {**config, "lora_ga_config": None})


def off_plain_weights(model: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors that were trained, of those that `save_on_plain_weights` left in a file."""
    starts, trained = _starts(model) or {}, dict(tensors)
    for key in starts.keys() & tensors.keys():
        dimension = 0 if ".lora_A." in key else 1
        rank, found = starts[key].shape[dimension], tensors[key]
        if found.ndim == starts[key].ndim and found.shape[dimension] == 2 * rank:
            trained[key] = found.narrow(dimension, 0, rank)
    return trained


def _starts(model: Any) -> dict[str, torch.Tensor] | None:
    """Return the tensors at the start by their names in a file; `None` if the start rewrote no base weights."""
    kept = vars(model).get(KEPT)
    if kept is None:
        return None
    return {key.replace(f".{model.active_adapter}.", "."): value for key, value in kept[1].items()}
