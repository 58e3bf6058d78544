"""The models that answer: the base model and adapters on it, which share one copy of its weights."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from qweft.adapter.attach import base_of
from qweft.core.errors import QweftError
from qweft.data.requests import tokenizer_for_requests
from qweft.data.template import with_template
from qweft.evaluation.generation import end_tokens
from qweft.evaluation.loss import context_of
from qweft.evaluation.record import run_config
from qweft.evaluation.saved import check_runs, put_beside_base, put_on
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model
from qweft.serve.checks import BASE

KEPT = (
    *("bos_token_id", "eos_token_id", "pad_token_id"),
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p"),
)
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


def open_voices(model: ModelConfig, folders: Mapping[str, Path], with_base: bool) -> Voices:
    """Load the base model once, with each adapter; it is asked by the chat template of the first one's run."""
    loaded = load_model(model)
    is_alone = len(folders) == 1 and not with_base
    # adapters of any methods stand side by side on copies of the module tree with the same parameters
    shared = {id(tensor): tensor for tensor in chain(loaded.model.parameters(), loaded.model.buffers())}
    models: dict[str, Any] = {}
    for name, folder in folders.items():
        tree = loaded.model if is_alone else copy.deepcopy(loaded.model, dict(shared))
        at = LoadedModel(tree, loaded.tokenizer, loaded.source, loaded.dtype, loaded.device)
        models[name] = put_on(at, folder) if is_alone else put_beside_base(at, folder, ALONE)
        check_runs(models[name], at, folder)
    if with_base:
        models[BASE] = loaded.model
    first = next(iter(folders.values()))
    prepared = {}
    for name, each in models.items():
        template = run_config(folders.get(name, first)).get("data", {}).get("template")
        prepared[name] = (each, prepare(each, with_template(loaded.tokenizer, template)))
    return Voices(prepared, loaded.source.origin, min(context_of(each) or CONTEXT for each in models.values()))


def prepare(model: Any, tokenizer: Any) -> Any:
    """Make a model's answers end as in other commands, drawn from all tokens without a top_k; return its tokenizer."""
    base = base_of(model)
    kept = {name: getattr(base.generation_config, name, None) for name in KEPT}
    kept |= {"top_k": kept["top_k"] or 0, "eos_token_id": sorted(end_tokens(model, tokenizer)) or None}
    base.generation_config = GenerationConfig(**kept)
    return tokenizer_for_requests(tokenizer)


class Drawn:
    """A processor of an answer's logits: tokens are drawn from a seed, if there is one, and each token is checked."""

    def __init__(self, seed: int | None, check: Callable[[], None] = lambda: None) -> None:
        self._seed, self._check, self._has_begun = seed, check, False

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the logits; raise if they give no probabilities."""
        self._check()
        if not self._has_begun:
            self._has_begun = True
            if self._seed is None:
                torch.seed()
            else:
                torch.manual_seed(self._seed)
        if not scores.max().isfinite():  # also of NaN; on a GPU a draw from it would end the process
            raise QweftError(
                "the model gives no probabilities (NaN or infinity); train it anew with a lower learning rate"
            )
        return scores
