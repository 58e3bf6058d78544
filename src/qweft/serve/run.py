"""`qweft serve` and `qweft ui`: transformers' own server, with adapters in the place of models that it would load."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from transformers import GenerationConfig
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.server import build_server
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerationState, get_response_template

from qweft.adapter.attach import base_of
from qweft.chat.checks import BASE
from qweft.chat.models import open_models, own_template
from qweft.data.conversation import Message
from qweft.data.template import for_others, render
from qweft.errors import QweftError
from qweft.evaluation.generation import end_tokens
from qweft.evaluation.loss import context_of
from qweft.models.causal import ENDS
from qweft.models.config import ModelConfig
from qweft.serve.config import PageConfig, ServeConfig
from qweft.serve.page import add_page
from qweft.serve.requests import Chat, Completion, Response, Unparsed, WithinContext

Answers = tuple[Any, Any]
"""A model with its tokenizer."""
SERVED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/health")
"""Paths that are answered. transformers' others read further files of the model's folder, or need other models."""
KEPT = (*ENDS, "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p")
"""Settings of a model's own file that hold. Others act at temperature 0 too, or allocate memory."""
CONTEXT = 32_768
"""Most tokens of a question and its answer, where the model's config knows no limit."""
ALONE = (
    "nothing else can be served beside it; talk with it in qweft chat without --beside, or give another server what "
    "PEFT's merge_and_unload makes of it"
)
"""What follows where an adapter changes weights of the base model, and the ways out."""


class Adapters(ModelManager):
    """The models of the server: those that it was started with, and no other."""

    def __init__(self, models: Mapping[str, Answers]) -> None:
        super().__init__(device="cpu", model_timeout=-1)  # it loads nothing, so that its device means nothing
        self.models = dict(models)

    def load_model_and_processor(
        self, model_id_and_revision: str, *_: Any, gguf_file: str | None = None, **__: Any
    ) -> Answers:
        """Return the model with a name, from which transformers' server may have cut off `:x.gguf` as a file's."""
        name = model_id_and_revision if gguf_file is None else f"{model_id_and_revision}:{gguf_file}"
        if name not in self.models:
            known = ", ".join(self.models)
            raise HTTPException(404, f"no model {name!r} is served here; there are {known}")
        return self.models[name]

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


def open_served(model: ModelConfig, folders: Mapping[str, Path]) -> dict[str, Answers]:
    """Load the models of a server: each adapter with the chat template of its run, and the base model."""
    loaded, models = open_models(model, folders, with_base=True, way=ALONE)
    tokenizers = {name: own_template(loaded, folder) for name, folder in folders.items()}
    return {name: answers(each, tokenizers.get(name, loaded.tokenizer)) for name, each in models.items()}


def answers(model: Any, tokenizer: Any) -> Answers:
    """Return a model with its tokenizer, whose answers end where those of the other commands do."""
    base_of(model).generation_config = settings = plain(base_of(model).generation_config)
    settings.eos_token_id = sorted(end_tokens(model, tokenizer)) or None
    made = for_others(tokenizer)
    made.response_template = None  # one of the model's folder: expressions of a stranger, on every answer
    parse = made.parse_response

    def parse_response(ids: Any, *given: Any, **named: Any) -> Any:
        """Take an answer as it is if its calls are cut or malformed."""
        try:
            return parse(ids, *given, **named)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return {"role": "assistant", "content": made.decode(ids, skip_special_tokens=True)}

    made.parse_response = parse_response
    anchor = (get_response_template(made, model) or {}).get("start_anchor")
    return model if anchor is None or _opens_with(anchor, tokenizer) else Unparsed(model), made


def _opens_with(anchor: str | list[str], tokenizer: Any) -> bool:
    """Whether a prompt for an answer has what transformers' server looks for, by the type of the base model."""
    try:
        prompt = render([Message("user", "question")], tokenizer, answer_next=True)
    except QweftError:
        return False
    return any(each in prompt for each in ([anchor] if isinstance(anchor, str) else anchor))


def plain(config: GenerationConfig) -> GenerationConfig:
    """Return the settings of a model's own file that hold here.

    Without a top_k all tokens are drawn from, as in `qweft chat`; transformers would take the 50 most likely ones.
    """
    kept = {name: getattr(config, name, None) for name in KEPT}
    return GenerationConfig(**{**kept, "top_k": kept["top_k"] or 0})


def application(models: Mapping[str, Answers], host: str) -> Any:
    """Return the server's application.

    A page in a browser may look up a name that leads to this machine. So a server of this machine alone answers only to
    its own names.
    """
    first, _ = next(iter(models.values()))
    manager, state = Adapters(models), OneAtATime(context_of(base_of(first)) or CONTEXT)
    try:
        app = build_server(
            manager,
            Chat(manager, state),
            completion_handler=Completion(manager, state),
            response_handler=Response(manager, state),
            transcription_handler=TranscriptionHandler(manager, state),
            systemone_handler=SystemOneHandler(manager, state),
            generation_state=state,
        )
    except TypeError as error:
        raise QweftError(f"the installed transformers has another server ({error}); install 5.23") from error
    app.state.generation = state
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in SERVED]
    for fault in (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        app.add_exception_handler(fault, _refused)
    if _is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host])
    return app


async def _refused(_: Any, fault: Exception) -> JSONResponse:
    """Return the answer to a request that transformers' handlers do not expect, in place of a traceback."""
    message = str(fault) if isinstance(fault, QweftError) else f"the request cannot be answered: {fault}"
    return JSONResponse({"detail": message[:300]}, 400)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server(uvicorn.Server):
    """A server that ends the answers in progress when it is stopped."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all answers after the token that is being computed, then the server."""
        app: Any = self.config.app
        app.state.generation.shutdown()
        await super().shutdown(sockets)


def serve(model: ModelConfig, folders: Mapping[str, Path], config: ServeConfig, tell: Callable[[str], None]) -> None:
    """Serve adapters until it is stopped."""
    with _listening(config.host, config.port) as listening:
        app = application(open_served(model, folders), config.host)
        shown = f"[{config.host}]" if ":" in config.host else config.host
        tell(f"http://{shown}:{listening.getsockname()[1]}/v1")
        _run(app, listening)


def serve_page(
    model: ModelConfig, folders: Mapping[str, Path], config: PageConfig, tell: Callable[[str], None]
) -> None:
    """Serve the page on this machine until it is stopped."""
    with _listening("127.0.0.1", config.port) as listening:
        app, token = page_application(model, folders, config)
        tell(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}")
        _run(app, listening)


def page_application(model: ModelConfig, folders: Mapping[str, Path], config: PageConfig) -> tuple[Any, str]:
    """Return the application with the page, and the token that each of its requests must carry.

    Answers are shown as they are, calls of tools and thoughts included, as in `qweft chat`.
    """
    way = "nothing can answer beside it; leave --beside out"
    loaded, models = open_models(model, folders, config.beside == BASE, way)
    tokenizer = own_template(loaded, next(iter(folders.values())))  # of the first adapter: all get the same prompts
    made = {name: answers(each, tokenizer) for name, each in models.items()}
    app = application({name: (Unparsed(each), ours) for name, (each, ours) in made.items()}, "127.0.0.1")
    return app, add_page(app, models, tokenizer, loaded.source.origin, config)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket, bound before a model is loaded, so that a taken port is told at once."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise QweftError(
            f"{host} port {port} cannot be listened at ({error.strerror or error}); give another --port"
        ) from error


def _run(app: Any, listening: socket.socket) -> None:
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    asyncio.run(Server(settings).serve(sockets=[listening]))
