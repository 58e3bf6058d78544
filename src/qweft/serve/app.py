"""`qweft serve` and `qweft ui`: transformers' own server, with adapters in the place of models that it would load."""

import asyncio
import copy
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import signature
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import uvicorn
from annotated_types import Ge, Gt, Le, Lt
from fastapi import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from transformers import LogitsProcessorList, PreTrainedTokenizerBase
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.server import build_server
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerateManager, GenerationState, get_response_template

from qweft.core.errors import QweftError
from qweft.core.reader import Reader
from qweft.core.schema import Count
from qweft.internals.providers import ignored_settings
from qweft.models.config import ModelConfig
from qweft.serve.checks import BASE
from qweft.serve.config import PageConfig, ServeConfig
from qweft.serve.models import Drawn, Voices, open_voices
from qweft.serve.page import add_page

NUMBERS = {
    "temperature": Annotated[float, Ge(0), Le(100)],
    "top_p": Annotated[float, Ge(0), Le(1)],
    "frequency_penalty": Annotated[float, Gt(-1), Le(2)],
    "seed": Annotated[int, Ge(0), Lt(2**63)],
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), Count),
}
"""Types of settings that are numbers."""
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
        super()._validate_request(body)  # type: ignore[misc]
        for name in NUMBERS.keys() & body.keys():
            Reader(None, "the request").check(NUMBERS[name], body[name], name)
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
        """Draw where a client gives a temperature or top_p, and keep the seed until the answer is drawn."""
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


class Unparsed:
    """A model whose answers stay texts: by a model's type transformers' server looks for thoughts and calls in them."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.config = copy.copy(model.config)
        self.config.model_type = "text"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


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
        return super().generate_streaming(model, processor, self._bounded(inputs, gen_config), gen_config, **named)

    async def generate_non_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, *_: Any, **named: Any
    ) -> Any:
        """Return an answer."""
        bounded = self._bounded(inputs, gen_config)
        return await super().generate_non_streaming(model, processor, bounded, gen_config, **named)

    def _bounded(self, inputs: Any, settings: Any) -> dict[str, Any]:
        asked = inputs["input_ids"].shape[-1]
        if not asked:
            raise HTTPException(422, "the prompt is empty; give it a text")
        if asked >= self.context:
            raise HTTPException(
                413, f"the question is {asked:,} tokens long, and the model takes {self.context:,}; ask a shorter one"
            )
        settings.max_new_tokens = min(settings.max_new_tokens or USUAL, self.context - asked)
        drawn = Drawn(vars(settings).pop(SEED, None), self._check_not_stopped)
        return {**inputs, "logits_processor": LogitsProcessorList([drawn])}

    def _check_not_stopped(self) -> None:
        if self._stopped.is_set():
            raise HTTPException(503, "the server is being stopped")


SERVED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/health")
"""Paths that are answered. transformers' others read further files of the model's folder, or need other models."""
Tell = Callable[[str], None]
"""Takes the address of a server that listens."""


class Adapters(ModelManager):
    """The models of the server: those that it was started with, and no other."""

    def __init__(self, models: Mapping[str, tuple[Any, Any]]) -> None:
        super().__init__(device="cpu", model_timeout=-1)  # it loads nothing, so that its device means nothing
        self.models = dict(models)

    def load_model_and_processor(self, model_id_and_revision: str, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Return the model with a name."""
        if model_id_and_revision not in self.models:
            message = f"no model {model_id_and_revision!r} is served here; there are {', '.join(self.models)}"
            raise HTTPException(404, message)
        return self.models[model_id_and_revision]

    @staticmethod
    def process_model_name(model_id: str) -> str:
        """Return the name as it is; transformers adds a revision."""
        return model_id

    def get_gen_models(self, cache_dir: str | None = None) -> list[dict[str, Any]]:  # type: ignore[override]
        """Return what the server lists."""
        return [{"id": name, "object": "model", "owned_by": "qweft", "created": 0} for name in self.models]


class OneAtATime(GenerationState):
    """One thread that generates for all models, since their circuits share threads that only one caller may use."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.manager = WithinContext(context)

    def get_manager(self, model_id: str, use_cb: bool = False) -> Any:
        """Return the one manager."""
        return self.manager

    def shutdown(self) -> None:
        """End all answers."""
        self.manager.stop()


def parsed(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    """Return a model whose calls of tools transformers' server finds in its answers; a malformed one stays text."""
    tokenizer.response_template = None  # one of the model's folder: expressions of a stranger, on every answer
    parse = tokenizer.parse_response

    def parse_response(ids: Any, *given: Any, **named: Any) -> Any:
        with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return parse(ids, *given, **named)
        return {"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}

    tokenizer.parse_response = parse_response
    anchors = (get_response_template(tokenizer, model) or {}).get("start_anchor") or ""
    prompt = ""
    with suppress(QweftError):  # of a template that takes no such turn
        asked = tokenizer.apply_chat_template([{"role": "user", "content": "question"}], add_generation_prompt=True)
        prompt = tokenizer.decode(asked.input_ids)
    has_anchor = any(each in prompt for each in ([anchors] if isinstance(anchors, str) else anchors))
    return model if has_anchor else Unparsed(model), tokenizer


def application(voices: Voices, host: str, is_parsed: bool = True) -> Any:
    """Return the server's application; unless `is_parsed` calls of tools and thoughts stay in the text of an answer.

    A page in a browser may look up a name that leads to this machine. So a server of this machine alone answers only to
    its own names.
    """
    made = {
        name: parsed(model, tokenizer) if is_parsed else (Unparsed(model), tokenizer)
        for name, (model, tokenizer) in voices.models.items()
    }
    manager, state = Adapters(made), OneAtATime(voices.context)
    app = build_server(
        manager,
        Chat(manager, state),
        completion_handler=Completion(manager, state),
        response_handler=Response(manager, state),
        transcription_handler=TranscriptionHandler(manager, state),
        systemone_handler=SystemOneHandler(manager, state),
        generation_state=state,
    )
    app.state.generation = state
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in SERVED]
    for fault in (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        app.add_exception_handler(fault, _refused)
    if host in ("127.0.0.1", "localhost", "::1"):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    return app


async def _refused(_: Any, fault: Exception) -> JSONResponse:
    """Return the answer to a request that transformers' handlers do not expect, in place of a traceback."""
    message = str(fault) if isinstance(fault, QweftError) else f"the request cannot be answered: {fault}"
    return JSONResponse({"detail": message[:300]}, 400)


class Server(uvicorn.Server):
    """A server that ends the answers in progress when it is stopped."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all answers after the token that is being computed, then the server."""
        app: Any = self.config.app
        app.state.generation.shutdown()
        await super().shutdown(sockets)


def serve(model: ModelConfig, folders: Mapping[str, Path], config: ServeConfig, tell: Tell) -> None:
    """Serve adapters, each with the chat template of its run, and their base model until it is stopped."""
    with _listening(config.host, config.port) as listening:
        app = application(open_voices(model, folders, with_base=True), config.host)
        shown = f"[{config.host}]" if ":" in config.host else config.host
        tell(f"http://{shown}:{listening.getsockname()[1]}/v1")
        _run(app, listening)


def serve_page(model: ModelConfig, folders: Mapping[str, Path], config: PageConfig, tell: Tell) -> None:
    """Serve the page on this machine until it is stopped."""
    with _listening("127.0.0.1", config.port) as listening:
        app, token = page_application(model, folders, config)
        tell(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}")
        _run(app, listening)


def page_application(model: ModelConfig, folders: Mapping[str, Path], config: PageConfig) -> tuple[Any, str]:
    """Return the application with the page, and the token that each of its requests must carry."""
    voices = open_voices(model, folders, config.beside == BASE)
    app = application(voices, "127.0.0.1", is_parsed=False)
    return app, add_page(app, voices, config)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket, bound before a model is loaded, so that a taken port is told at once."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise QweftError(f"{host} port {port} cannot be listened at ({error.strerror}); give another --port") from error


def _run(app: Any, listening: socket.socket) -> None:
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    asyncio.run(Server(settings).serve(sockets=[listening]))
