"""The chat models: the base model and adapters on it, which share one copy of its weights."""

import copy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import nn

from qweft.chat.answering import Answering, Sampler
from qweft.chat.checks import BASE, check_chat
from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue
from qweft.data.conversation import Message
from qweft.data.template import render, with_template
from qweft.errors import QweftError
from qweft.evaluation.loss import context_of
from qweft.evaluation.record import dtype_of, model_of, run_config, tell
from qweft.evaluation.saved import check_runs, put_beside_base, put_on
from qweft.models.load import LoadedModel, load_model
from qweft.text import many


@dataclass(frozen=True)
class ChatModel:
    """A model that answers.

    Args:
        name: Displayed name: base, or the short name of the adapter's folder.
        model: The base model, or a `PeftModel` of it, in evaluation mode.
    """

    name: str
    model: Any


@dataclass(frozen=True)
class ChatModels:
    """The models that answer, and what they share.

    Args:
        all: The adapter, followed by the second model, if any.
        tokenizer: The tokenizer, with the chat template of the adapter's run if that set its own.
        origin: Origin of the base model.
        context: Context length of the model in tokens; `None` means no known limit.
    """

    all: tuple[ChatModel, ...]
    tokenizer: Any
    origin: str
    context: int | None

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [chat_model.name for chat_model in self.all]

    def ask(self, dialogue: Dialogue, question: str, config: ChatConfig) -> list[Answering]:
        """Returns an answer of each model, to be iterated over one after the other.

        All models use the same random numbers, so answers differ only because of the weights.

        Args:
            dialogue: The conversation before the question.
            question: The question.
            config: Options of the generation.

        Raises:
            QweftError: If the question alone exceeds the model's context, or the chat template rejects it.
        """
        found = []
        for number, chat_model in enumerate(self.all):
            prompt, left_out = self._prompt(dialogue, number, question, config.max_new_tokens)
            room = None if self.context is None else self.context - len(prompt)
            sampler = Sampler(config.temperature, config.top_p, config.seed + dialogue.asked)
            found.append(
                Answering(chat_model.model, self.tokenizer, prompt, sampler, config.max_new_tokens, room, left_out)
            )
        return found

    def _prompt(self, dialogue: Dialogue, number: int, question: str, wanted: int) -> tuple[list[int], int]:
        """Returns the prompt of a model, and how many of the oldest turns were left out of it."""
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
    """Loads the base model once, with the adapter and the second model, if any.

    Args:
        adapter: Folder of the adapter.
        config: Options; `beside` names the second model.
        overrides: Keys of the section model that differ from the training run.

    Raises:
        QweftError: If a folder has no adapter, an adapter is unsuitable or belongs to another base model, or a model
            cannot be loaded.
    """
    model, folders = check_chat(adapter, config, overrides)
    own = [dtype_of(folder, model_of(folder, overrides)) for folder in folders]
    if own[-1] != own[0] and "dtype" not in overrides.get("model", {}):
        tell(
            f"note: {folders[-1]} was trained with model.dtype {own[-1]}, and answers in that of {adapter}, {own[0]}; "
            "--model.dtype names another"
        )
    loaded = load_model(model)
    trees = [loaded.model, *(same_weights(loaded.model) for _ in range(1 if config.beside else 0))]
    found = [
        ChatModel(name, _put_on(loaded, tree, folder, alone=len(trees) == 1))
        for name, tree, folder in zip(_names(folders), trees, folders, strict=False)
    ]
    if config.beside == BASE:
        found.append(ChatModel(BASE, trees[1]))
    context = context_of(loaded.model)
    # the template that the adapter was trained with; the second model gets the same prompts
    tokenizer = with_template(loaded.tokenizer, run_config(adapter).get("data", {}).get("template"))
    return ChatModels(tuple(found), tokenizer, loaded.source.origin, context)


def same_weights(model: nn.Module) -> nn.Module:
    """Returns a copy of the module tree that shares all parameters and buffers.

    An adapter changes the tree and not the weights. So adapters of different methods, which PEFT does not combine on
    one model, can be used side by side. No adapter has to be switched, and the weights are in memory once.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def _put_on(loaded: LoadedModel, tree: nn.Module, folder: Path, alone: bool) -> PeftModel:
    """Attaches the adapter to the tree.

    Raises:
        QweftError: If the adapter does not load or run, or its loading changed weights that another chat model shares.
    """
    at = LoadedModel(tree, loaded.tokenizer, loaded.source, loaded.dtype, loaded.device)
    so = "nothing can answer beside it; leave --beside out"
    adapted: PeftModel = put_on(at, folder) if alone else put_beside_base(at, folder, so)
    check_runs(adapted, at, folder)
    return adapted


def _names(folders: list[Path]) -> list[str]:
    """Returns short names of folders: the last part, or its parent for the folders named adapter that runs write.

    If these are not unique or equal the base model's name, the full paths are returned.
    """
    found = []
    for folder in folders:
        path = folder.resolve()
        found.append(path.parent.name if path.name == "adapter" else path.name)
    if len(set(found)) < len(found) or BASE in found:
        return [str(folder) for folder in folders]
    return found
