"""Bounds of what a client of `qweft serve` may ask for: one request must not keep all others waiting."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from inspect import signature
from threading import Event
from typing import Any

import torch
from fastapi import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from transformers import PreTrainedTokenizerBase, StoppingCriteriaList
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.utils import GenerateManager

from qweft.data.turns import read_turns
from qweft.evaluation.loss import context_of
from qweft.internals.providers import ignored_settings

MOST_BYTES = 4 * 2**20
"""Largest body of a request."""
PASSED_OVER = 2**26
"""Bytes of a larger body that are read and dropped, so that the client sees the answer; the rest is cut off."""
SERVED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/load_model", "/reset", "/health")
"""Paths that are answered. transformers' others read further files of the model's folder, or need other models."""
SETTINGS = (
    "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "max_new_tokens",
)  # fmt: skip
"""Keys of generation_config that a client may give; others allocate memory, or change how an answer is searched."""
RANGES = {
    "temperature": (0.0, 100.0), "top_p": (0.0, 1.0), "min_p": (0.0, 1.0), "typical_p": (0.01, 1.0),
    "repetition_penalty": (0.01, 100.0), "frequency_penalty": (-0.99, 2.0), "top_k": (0, 2**31),
    "max_tokens": (1, 2**31), "max_completion_tokens": (1, 2**31), "max_output_tokens": (1, 2**31),
    "max_new_tokens": (1, 2**31), "seed": (0, 2**63 - 1),
}  # fmt: skip
"""Bounds of numbers; those whose upper one is whole are whole numbers."""
TYPES = {"temperature": float, "repetition_penalty": float, "top_k": int, "max_new_tokens": int}
"""Numbers of which transformers takes one type alone: 2 is no penalty, and 5.0 no number of tokens."""
LONGEST_TOKEN = 10
"""Most digits of a token's number."""
USUAL = 1024
"""Most tokens of an answer for which a client asks no number, as transformers' server has it."""
COLDEST = 1e-3
"""Lowest temperature above 0: with a lower one numbers overflow, which ends a server on a GPU."""
SEED = "qweft_seed"
"""Attribute of a request's settings that holds its seed until the answer is drawn."""
LARGEST_BIAS = 100.0
MOST_STOPS, LONGEST_STOPS = 16, 256
"""Most texts at which an answer stops, and most characters of all; for each transformers makes a row of all tokens."""
NOT_TAKEN: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,), "echo": (False,), "presence_penalty": (0,),
    "response_format": ({"type": "text"},), "modalities": (["text"],),
    "tool_choice": ("auto", "none"), "parallel_tool_calls": (True,), "function_call": ("auto",), "functions": ([],),
    "audio": (), "web_search_options": (), "previous_response_id": (), "prompt": (), "background": (False,),
    "truncation": ("disabled",), "max_tool_calls": (), "reasoning_effort": (), "reasoning": ({},), "include": ([],),
    "verbosity": ("medium",), "conversation": (), "context_management": ([],), "moderation": (), "image": (),
    "access_programs": (), "background_options": (), "suffix": ("",),
}  # fmt: skip
"""Settings that transformers' server ignores or, as `suffix`, misreads, with the values that ask for nothing else."""
PASSED = {"user", "metadata", "store", "service_tier", "stream_options", "prediction", "text"}
"""Of these, those that change nothing of an answer, and `text`, whose parts are checked."""
OWN = frozenset(signature(PreTrainedTokenizerBase.apply_chat_template).parameters) - {"self", "kwargs", "documents"}
"""Arguments of transformers that are no variables of a chat template: another template, a length to fill up."""


def check_request(body: Mapping[str, Any]) -> None:
    """Checks what a client asks for beside its text.

    Raises:
        HTTPException: With status 422 and a sentence, if it could keep the server busy or end it.
    """
    for name in RANGES:
        _check_number(name, body.get(name))
    biases = body.get("logit_bias") or {}
    biases = biases if isinstance(biases, dict) else {"": None}
    if not all(_is_token(name) and _is_within(bias, -LARGEST_BIAS, LARGEST_BIAS) for name, bias in biases.items()):
        raise _refusal(
            f"logit_bias maps tokens to numbers from -{LARGEST_BIAS:g} to {LARGEST_BIAS:g}, each by its place in the "
            "vocabulary"
        )
    stops = body.get("stop") or []
    stops = [stops] if isinstance(stops, str) else stops
    if not (isinstance(stops, list) and len(stops) <= MOST_STOPS and _are_stops(stops)):
        raise _refusal(f"stop is at most {MOST_STOPS} texts of at most {LONGEST_STOPS} characters together")
    variables = body.get("chat_template_kwargs") or {}
    if not isinstance(variables, dict) or OWN & variables.keys():
        raise _refusal(f"chat_template_kwargs are variables of the chat template, and none of {', '.join(sorted(OWN))}")
    if body.get("generation_config") is not None:
        _check_settings(body["generation_config"])


def _check_settings(text: Any) -> None:
    try:
        settings = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or not settings.keys() <= set(SETTINGS):
        raise _refusal(f"generation_config is a text of JSON with any of {', '.join(SETTINGS)}")
    for name, value in settings.items():
        if name != "do_sample":
            _check_number(name, value)


def _check_number(name: str, value: Any) -> None:
    low, high = RANGES[name]
    if value is None or (_is_within(value, low, high) and not (name == "temperature" and 0 < value < COLDEST)):
        return
    if name == "temperature":
        raise _refusal(f"{name} is 0, or from {COLDEST:g} to {high:g}")
    raise _refusal(f"{name} is {'a whole number ' if isinstance(high, int) else ''}from {low:g} to {high:g}")


def _is_within(value: Any, low: float, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    return is_number and (isinstance(high, float) or value == int(value))


def _is_token(name: Any) -> bool:
    return isinstance(name, str) and name.isdecimal() and len(name) <= LONGEST_TOKEN


def _are_stops(texts: list[Any]) -> bool:
    return all(isinstance(text, str) and text for text in texts) and sum(map(len, texts)) <= LONGEST_STOPS


def _asked(value: Any) -> Any:
    """Return a setting without keys that are null, which clients send for what they leave out."""
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


def _is_any(value: Any, known: tuple[Any, ...]) -> bool:
    """Whether a value is one of those known; to Python 0 is False, and with `logprobs` it is not."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in known)


def _refusal(sentence: str) -> HTTPException:
    return HTTPException(422, sentence)


class Checked:
    """What transformers' handlers of requests lack: a check of the settings."""

    model_manager: Any
    takes: frozenset[str] = frozenset()
    """Names of `NOT_TAKEN` that mean something else here."""
    asks = "messages"
    """Key of what is asked."""

    def _validate_request(self, body: dict[str, Any]) -> None:
        for name in list(body):  # clients send null, and empty ones of these, for what they leave out
            if body[name] is None or (name in ("stop", "logit_bias") and not body[name]):
                del body[name]
        for name in ("model", self.asks):
            if name not in body:
                raise _refusal(f"the request has no {name}; give one")
        if not isinstance(body["model"], str):
            raise _refusal("model is a text; GET /v1/models lists those that are served")
        self.model_manager.load_model_and_processor(body["model"])  # transformers' server would cut off `:x.gguf`
        super()._validate_request(body)  # type: ignore[misc]
        check_request(body)
        for name in sorted((NOT_TAKEN.keys() | ignored_settings(self)) - self.takes - PASSED):
            if not _is_any(_asked(body.get(name)), (None, *NOT_TAKEN.get(name, ()))):
                raise _refusal(f"{name} is not taken here; leave it out")
        first = body["input"][:1] if body.get("instructions") and isinstance(body.get("input"), list) else []
        if any(isinstance(item, dict) and item.get("role") == "system" for item in first):  # it would be dropped
            raise _refusal("instructions and a system message are given; put the one into the other")
        form = body.get("text") or {}
        if not isinstance(form, dict) or form.get("format") not in (None, {"type": "text"}):
            raise _refusal("text.format is not taken here; leave it out")
        if form.get("verbosity") not in (None, *NOT_TAKEN["verbosity"]):
            raise _refusal("text.verbosity is not taken here; leave it out")
        if body.get("tool_choice") == "none":
            body.pop("tools", None)
        if body.get("messages") == []:
            raise _refusal("there are no messages; give one at least")
        body.setdefault("stream", False)  # as OpenAI's interface; transformers' server streams responses by default
        if body.get("logit_bias"):  # whole numbers are none to transformers
            body["logit_bias"] = {token: float(bias) for token, bias in body["logit_bias"].items()}

    @staticmethod
    def get_processor_inputs_from_messages(messages: Any, *_: Any) -> list[dict[str, Any]]:
        """Return messages as rows of data are read: parts joined as they are, and no part that is not text."""
        return [message.turn for message in read_turns(messages, "the request", may_be_empty=True)]

    def _build_generation_config(self, body: dict[str, Any], *given: Any, **named: Any) -> Any:
        """Draw an answer where a client gives a temperature above 0 or top_p; transformers' server would be greedy.

        Without them it is drawn if the model's own settings say so. The seed goes along to the thread that generates;
        transformers' server would seed that of the answer before.
        """
        found = super()._build_generation_config({**body, "seed": None}, *given, **named)  # type: ignore[misc]
        setattr(found, SEED, body.get("seed"))
        for name, kind in TYPES.items():
            if getattr(found, name) is not None:
                setattr(found, name, kind(getattr(found, name)))
        if body.get("logit_bias"):  # which transformers' server leaves out of completions
            found.sequence_bias = {(int(token),): bias for token, bias in body["logit_bias"].items()}
        temperature, top_p = body.get("temperature"), body.get("top_p")
        says = "do_sample" in json.loads(body.get("generation_config") or "{}")
        if not says and (temperature is not None or top_p is not None):
            found.do_sample = temperature is None or temperature > 0
        return found


class Chat(Checked, ChatCompletionHandler):
    """Answers `/v1/chat/completions`."""


class Completion(Checked, CompletionHandler):
    """Answers `/v1/completions`."""

    takes, asks = frozenset({"prompt"}), "prompt"


class Response(Checked, ResponseHandler):
    """Answers `/v1/responses`."""

    asks = "input"


class Standing:
    """Stands for a model, and is it but for what a subclass changes.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Unparsed(Standing):
    """A model whose answers are texts as they are.

    By the type of a model transformers' server looks for thoughts and calls of tools in its answers. Where the prompt
    is not in the form of that type, it takes the whole prompt into the answer.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.config = copy.copy(model.config)
        self.config.model_type = "text"


class Seeded(Standing):
    """A model that draws one answer, from the request's own seed if it has one, whatever is drawn at the same time.

    Args:
        model: The model.
        settings: The request's settings, with its seed.
        stopped: Set when no further token is generated.
    """

    def __init__(self, model: Any, settings: Any, stopped: Event) -> None:
        super().__init__(model)
        self._seed = vars(settings).pop(SEED, None)
        self._stopped = stopped

    def generate(self, **given: Any) -> Any:
        """Generates as the model does. A request's seed changes what it draws, and nothing of other answers."""
        if self._stopped.is_set():
            return given["input_ids"]
        given["stopping_criteria"] = StoppingCriteriaList([self._is_over])
        if self._seed is None:
            return self._model.generate(**given)
        device = self._model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self._seed)
            return self._model.generate(**given)

    def _is_over(self, tokens: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.full((len(tokens),), self._stopped.is_set(), device=tokens.device)


class WithinContext(GenerateManager):
    """One thread that generates: a question and its answer together are no longer than the model's context.

    Args:
        context: Most tokens of both.
    """

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context
        self._stopped = Event()

    def async_submit(self, fn: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Hands work to the thread; whoever waits for it may be cancelled, and the thread still tells its result."""
        return asyncio.shield(super().async_submit(fn, *given, **named))

    def stop(self) -> None:
        """Ends all answers, and waits until the thread generates nothing.

        A thread that still computes at interpreter exit would be ended inside PyTorch, which aborts the process.
        """
        self._stopped.set()
        self.submit(self._stopped.is_set).result()

    def generate_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, *more: Any, **named: Any
    ) -> Any:
        """Starts an answer that is streamed."""
        self._bound(model, inputs, gen_config)
        seeded: Any = Seeded(model, gen_config, self._stopped)
        return super().generate_streaming(seeded, processor, inputs, gen_config, *more, **named)

    async def generate_non_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, *more: Any, **named: Any
    ) -> Any:
        """Returns an answer."""
        self._bound(model, inputs, gen_config)
        seeded: Any = Seeded(model, gen_config, self._stopped)
        return await super().generate_non_streaming(seeded, processor, inputs, gen_config, *more, **named)

    def _bound(self, model: Any, inputs: Any, settings: Any) -> None:
        for (token,) in settings.sequence_bias or {}:
            if token >= (known := model.config.get_text_config().vocab_size):
                raise _refusal(f"logit_bias names token {token}, and the model has {known:,}; leave it out")
        asked = inputs["input_ids"].shape[-1]
        if not asked:
            raise _refusal("the prompt is empty; give it a text")
        most = min(self.context, context_of(model) or self.context)  # virtual tokens of an adapter take places of it
        if asked >= most:
            raise _refusal(f"the question is {asked:,} tokens long, and the model takes {most:,}; ask a shorter one")
        settings.max_new_tokens = min(settings.max_new_tokens or USUAL, most - asked)


class Sized:
    """An application that takes no body of more than `MOST_BYTES`; up to `PASSED_OVER` it is read and dropped.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Any) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False
        read: list[Any] = []

        async def again() -> Any:
            return read.pop() if read else await receive()

        async def sent(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            body = await _body(receive)
            if body is None:
                await PlainTextResponse(TOO_LARGE, 413)(scope, receive, sent)
            else:
                read.append({"type": "http.request", "body": body, "more_body": False})
                await self.app(scope, again, sent)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the server is being stopped
            if not begun:
                await PlainTextResponse(STOPPING, 503)(scope, receive, send)


async def _body(receive: Callable[[], Any]) -> bytes | None:
    """Returns a request's body, or `None` if it is too large."""
    parts, taken, has_more = [], 0, True
    while has_more and taken <= PASSED_OVER:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        taken, has_more = taken + len(message.get("body", b"")), message.get("more_body", False)
        if taken <= MOST_BYTES:
            parts.append(message.get("body", b""))
    return b"".join(parts) if taken <= MOST_BYTES else None


STOPPING = "the server is being stopped"
TOO_LARGE = f"a request has at most {MOST_BYTES // 2**20} MiB"
