"""How requests are read and answered where transformers' server would ignore, misread or run away with them."""

import asyncio
import copy
import json
from collections.abc import Callable
from inspect import signature
from threading import Event
from typing import Any

import torch
from fastapi import HTTPException
from transformers import PreTrainedTokenizerBase, StoppingCriteriaList
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.utils import GenerateManager

from qweft.internals.providers import ignored_settings
from qweft.serve.models import FINITE, drawn_from

RANGES = {
    "temperature": (0.0, 100.0), "top_p": (0.0, 1.0), "frequency_penalty": (-0.99, 2.0), "seed": (0, 2**63 - 1),
    "max_tokens": (1, 2**31), "max_completion_tokens": (1, 2**31), "max_output_tokens": (1, 2**31),
}  # fmt: skip
"""Bounds of numbers; those whose upper one is whole are whole numbers."""
USUAL = 1024
"""Most tokens of an answer for which a client asks no number, as transformers' server has it."""
COLDEST = 1e-3
"""Lowest temperature that draws: with a lower one numbers overflow, which ends a server on a GPU."""
SEED = "qweft_seed"
"""Attribute of a request's settings that holds its seed until the answer is drawn."""
REFUSED = {"generation_config", "suffix", "reasoning", "conversation", "context_management", "moderation"}
"""Settings that transformers' server ignores or misreads, beside those that it lists itself."""
PASSED = {"user", "metadata", "store", "service_tier", "stream_options", "prediction"}
"""Settings that it ignores, and that change nothing of an answer."""
DEFAULTS: dict[str, Any] = {
    "n": 1, "best_of": 1, "tool_choice": "auto", "function_call": "auto", "parallel_tool_calls": True,
    "truncation": "disabled", "modalities": ["text"], "response_format": {"type": "text"},
    "text": {"format": {"type": "text"}},
}  # fmt: skip
"""Values of ignored settings that ask for nothing else; empty ones and zeros do not either."""
OWN = frozenset(signature(PreTrainedTokenizerBase.apply_chat_template).parameters) - {"self", "kwargs", "documents"}
"""Arguments of transformers that are no variables of a chat template: another template, a length to fill up."""


class Checked:
    """What transformers' handlers of requests lack: a check of the settings."""

    asks = "messages"
    """Key of what is asked."""

    def _validate_request(self, body: dict[str, Any]) -> None:
        for name in list(body):  # clients send null, and empty ones of these, for what they leave out
            if body[name] is None or (name in ("stop", "logit_bias") and not body[name]):
                del body[name]
        for name in ("model", self.asks):
            if name not in body or body[name] == []:
                raise HTTPException(422, f"the request has no {name}; give one")
        if not isinstance(body["model"], str):
            raise HTTPException(422, "model is a text; GET /v1/models lists those that are served")
        super()._validate_request(body)  # type: ignore[misc]
        for name in RANGES.keys() & body.keys():
            (low, high), value = RANGES[name], body[name]
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            if not is_number or (isinstance(high, int) and value != int(value)):
                kind = "a whole number " if isinstance(high, int) else ""
                raise HTTPException(422, f"{name} is {kind}from {low:g} to {high:g}")
        if body.get("tool_choice") == "none":
            body.pop("tools", None)
            del body["tool_choice"]
        for name in sorted((REFUSED | ignored_settings(self)) & body.keys() - PASSED):
            if body[name] and json.dumps(body[name]) != json.dumps(DEFAULTS.get(name)):  # to Python 1 is True
                raise HTTPException(422, f"{name} {json.dumps(body[name])[:100]} is not taken here; leave it out")
        variables = body.get("chat_template_kwargs", {})
        if not isinstance(variables, dict) or OWN & variables.keys():
            raise HTTPException(
                422, f"chat_template_kwargs are variables of the chat template, none of {', '.join(sorted(OWN))}"
            )
        body.setdefault("stream", False)  # as OpenAI's interface; transformers' server streams responses by default

    @staticmethod
    def get_processor_inputs_from_messages(messages: Any, *_: Any) -> list[dict[str, Any]]:
        """Return messages as they are; the chat template reads them as rows of data."""
        return list(messages)

    def _build_generation_config(self, body: dict[str, Any], *given: Any, **named: Any) -> Any:
        """Draw an answer where a client gives a temperature above 0 or top_p; transformers' server would be greedy.

        The seed is kept for the moment of drawing: an answer before this one may still be drawn.
        """
        settings = super()._build_generation_config({**body, "seed": None}, *given, **named)  # type: ignore[misc]
        setattr(settings, SEED, body.get("seed"))
        if body.get("logit_bias"):  # left out of completions, and whole numbers are none to transformers
            settings.sequence_bias = {(int(token),): float(bias) for token, bias in body["logit_bias"].items()}
        temperature = body.get("temperature")
        if temperature is not None or body.get("top_p") is not None:
            settings.do_sample = temperature is None or temperature >= COLDEST
        return settings


class Chat(Checked, ChatCompletionHandler):
    """Answers `/v1/chat/completions`."""


class Completion(Checked, CompletionHandler):
    """Answers `/v1/completions`."""

    asks = "prompt"


class Response(Checked, ResponseHandler):
    """Answers `/v1/responses`."""

    asks = "input"


class Standing:
    """Stands for a model, and is it but for what a subclass changes."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Unparsed(Standing):
    """A model whose answers stay texts: by a model's type transformers' server looks for thoughts and calls in them."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.config = copy.copy(model.config)
        self.config.model_type = "text"


class Seeded(Standing):
    """A model that draws one answer, from the request's own seed if it has one, whatever is drawn at the same time."""

    def __init__(self, model: Any, settings: Any, stopped: Event) -> None:
        super().__init__(model)
        self._seed = vars(settings).pop(SEED, None)
        self._stopped = stopped

    def generate(self, **given: Any) -> Any:
        """Generate as the model does, until the server is stopped."""
        given |= {"stopping_criteria": StoppingCriteriaList([self._is_over]), "logits_processor": FINITE}
        with drawn_from(self._seed, self._model.device):
            tokens = given["input_ids"] if self._stopped.is_set() else self._model.generate(**given)
        if self._stopped.is_set():
            raise HTTPException(503, "the server is being stopped")
        return tokens

    def _is_over(self, tokens: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.full((len(tokens),), self._stopped.is_set(), device=tokens.device)


class WithinContext(GenerateManager):
    """One thread that generates: a question and its answer together are no longer than the model's context."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context
        self._stopped = Event()

    def async_submit(self, fn: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Hand work to the thread; whoever waits for it may be cancelled, and the thread still tells its result."""
        return asyncio.shield(super().async_submit(fn, *given, **named))

    def stop(self) -> None:
        """End all answers, and wait for the thread: one that computes at interpreter exit would abort the process."""
        self._stopped.set()
        self.submit(self._stopped.is_set).result()

    def generate_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, *_: Any, **named: Any
    ) -> Any:
        """Start an answer that is streamed."""
        return super().generate_streaming(
            self._bounded(model, inputs, gen_config), processor, inputs, gen_config, **named
        )

    async def generate_non_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, *_: Any, **named: Any
    ) -> Any:
        """Return an answer."""
        bounded = self._bounded(model, inputs, gen_config)
        return await super().generate_non_streaming(bounded, processor, inputs, gen_config, **named)

    def _bounded(self, model: Any, inputs: Any, settings: Any) -> Any:
        known, asked = model.config.get_text_config().vocab_size, inputs["input_ids"].shape[-1]
        for (token,) in settings.sequence_bias or {}:
            if not 0 <= token < known:
                raise HTTPException(422, f"logit_bias names token {token}, and the model has {known:,}; leave it out")
        if not asked:
            raise HTTPException(422, "the prompt is empty; give it a text")
        if asked >= self.context:
            raise HTTPException(
                413, f"the question is {asked:,} tokens long, and the model takes {self.context:,}; ask a shorter one"
            )
        settings.max_new_tokens = min(settings.max_new_tokens or USUAL, self.context - asked)
        return Seeded(model, settings, self._stopped)
