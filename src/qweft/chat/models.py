"""The models that answer: the base model and adapters on it, which share one copy of its weights."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from qweft.chat.answering import Answering, Sampler
from qweft.chat.checks import BASE, check_chat
from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue
from qweft.data.conversation import Message
from qweft.data.template import render, with_template
from qweft.errors import QweftError
from qweft.evaluation.loss import context_of
from qweft.evaluation.record import run_config
from qweft.evaluation.saved import check_runs, put_beside_base, put_on
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model
from qweft.text import many


def open_models(
    model: ModelConfig, folders: Mapping[str, Path], with_base: bool, way: str
) -> tuple[LoadedModel, dict[str, Any]]:
    """Load the base model once, and put each adapter on a module tree that shares its weights.

    `way` is what an error says where an adapter changes weights of the base model: what cannot be, and the ways out.

    Returns:
        The base model, and all models that answer by name, the base model as the last.
    """
    loaded = load_model(model)
    is_alone = len(folders) == 1 and not with_base
    models: dict[str, Any] = {}
    for name, folder in folders.items():
        tree = loaded.model if is_alone else same_weights(loaded.model)
        at = LoadedModel(tree, loaded.tokenizer, loaded.source, loaded.dtype, loaded.device)
        models[name] = put_on(at, folder) if is_alone else put_beside_base(at, folder, way)
        check_runs(models[name], at, folder)
    return loaded, {**models, BASE: loaded.model} if with_base else models


def same_weights(model: nn.Module) -> nn.Module:
    """Return a copy of the module tree that shares all parameters and buffers.

    An adapter changes the tree and not the weights. So adapters of different methods, which PEFT does not combine on
    one model, can be used side by side. No adapter has to be switched, and the weights are in memory once.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def own_template(loaded: LoadedModel, folder: Path) -> Any:
    """Return the tokenizer, with the chat template of the adapter's run if that set its own."""
    return with_template(loaded.tokenizer, run_config(folder).get("data", {}).get("template"))


@dataclass(frozen=True)
class ChatModels:
    """The models of a chat, and what they share.

    Args:
        models: The adapter, followed by the second model, if any, by name.
        tokenizer: The tokenizer with the first adapter's chat template, so that all get the same prompts.
        origin: Origin of the base model.
        context: Context length of the model in tokens; `None` means no known limit.
    """

    models: dict[str, Any]
    tokenizer: Any
    origin: str
    context: int | None

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return list(self.models)

    def ask(self, dialogue: Dialogue, question: str, config: ChatConfig) -> list[Answering]:
        """Return an answer of each model, to be iterated over one after the other.

        All models use the same random numbers, so answers differ only because of the weights.

        Raises:
            QweftError: If the question alone exceeds the model's context, or the chat template rejects it.
        """
        answers = []
        for number, model in enumerate(self.models.values()):
            prompt, left_out = self._prompt(dialogue, number, question, config.max_new_tokens)
            room = None if self.context is None else self.context - len(prompt)
            sampler = Sampler(config.temperature, config.top_p, config.seed + dialogue.asked)
            answers.append(Answering(model, self.tokenizer, prompt, sampler, config.max_new_tokens, room, left_out))
        return answers

    def _prompt(self, dialogue: Dialogue, number: int, question: str, wanted: int) -> tuple[list[int], int]:
        """Return the prompt of a model, and how many of the oldest turns were left out of it."""
        # reserves room for the answer, but at most half of the context, so that the conversation still fits
        most = None if self.context is None else self.context - min(wanted, self.context // 2)
        for left_out in range(len(dialogue.turns) + 1):
            messages = [*dialogue.messages(number, left_out), Message("user", question)]
            text = render(messages, self.tokenizer, answer_next=True)
            ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
            if most is None or len(ids) <= most:
                return ids, left_out
        if self.context is not None and len(ids) >= self.context:
            raise QweftError(
                f"the question is {many(len(ids), 'token')} long with what the chat template adds, and the model takes "
                f"{self.context:,}; ask a shorter one"
            )
        return ids, len(dialogue.turns)


def open_chat_models(adapter: Path, config: ChatConfig, overrides: dict[str, Any]) -> ChatModels:
    """Load the models of a chat."""
    model, folders = check_chat(adapter, config, overrides)
    way = "nothing can answer beside it; leave --beside out"
    loaded, models = open_models(model, folders, config.beside == BASE, way)
    return ChatModels(models, own_template(loaded, adapter), loaded.source.origin, context_of(loaded.model))
