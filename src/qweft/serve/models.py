"""The models that answer: the base model and adapters on it, which share one copy of its weights."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, LogitsProcessorList

from qweft.adapter.attach import base_of
from qweft.data.template import for_others, with_template
from qweft.errors import QweftError
from qweft.evaluation.generation import end_tokens
from qweft.evaluation.loss import context_of
from qweft.evaluation.record import run_config
from qweft.evaluation.saved import check_runs, put_beside_base, put_on
from qweft.models.causal import ENDS
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model
from qweft.serve.checks import BASE

KEPT = (*ENDS, "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p")
"""Settings of a model's own file that hold. Others act at temperature 0 too, or allocate memory."""
CONTEXT = 32_768
"""Most tokens of a question and its answer, where the model's config knows no limit."""
ALONE = (
    "no other model can answer beside it; talk with it alone in qweft chat, or serve what qweft export --to merged "
    "makes of it"
)
"""What follows where an adapter changes weights of the base model, and the ways out."""


@dataclass(frozen=True)
class Voices:
    """The models that answer."""

    models: Mapping[str, tuple[Any, Any]]  # each with its tokenizer, by name; the base model is the last
    origin: str  # of the base model
    context: int  # most tokens of a question and its answer


def open_voices(
    model: ModelConfig, folders: Mapping[str, Path], with_base: bool, own_templates: bool = False
) -> Voices:
    """Load the base model once, with each adapter; the chat template is the first run's, or `own_templates`."""
    loaded = load_model(model)
    is_alone = len(folders) == 1 and not with_base
    models: dict[str, Any] = {}
    for name, folder in folders.items():
        tree = loaded.model if is_alone else same_weights(loaded.model)
        at = LoadedModel(tree, loaded.tokenizer, loaded.source, loaded.dtype, loaded.device)
        models[name] = put_on(at, folder) if is_alone else put_beside_base(at, folder, ALONE)
        check_runs(models[name], at, folder)
    if with_base:
        models[BASE] = loaded.model
    first = next(iter(folders.values()))
    prepared = {}
    for name, each in models.items():
        own = folders.get(name) if own_templates else first
        template = None if own is None else run_config(own).get("data", {}).get("template")
        prepared[name] = (each, prepare(each, with_template(loaded.tokenizer, template)))
    return Voices(prepared, loaded.source.origin, min(context_of(each) or CONTEXT for each in models.values()))


def same_weights(model: nn.Module) -> nn.Module:
    """Return a copy of the module tree that shares all parameters: adapters of any methods stand side by side on it."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def prepare(model: Any, tokenizer: Any) -> Any:
    """Make a model's answers end as in other commands, drawn from all tokens without a top_k; return its tokenizer."""
    base = base_of(model)
    kept = {name: getattr(base.generation_config, name, None) for name in KEPT}
    kept |= {"top_k": kept["top_k"] or 0, "eos_token_id": sorted(end_tokens(model, tokenizer)) or None}
    base.generation_config = GenerationConfig(**kept)
    return for_others(tokenizer)


@contextmanager
def drawn_from(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from a seed in the block, and leave the process's own random numbers as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


def _check_finite(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    if not scores.max().isfinite():  # also of NaN; on a GPU a draw from it would end the process
        raise QweftError("the model gives no probabilities (NaN or infinity); train it anew with a lower learning rate")
    return scores


FINITE = LogitsProcessorList([_check_finite])
"""A check of the logits, for transformers' `generate`."""
