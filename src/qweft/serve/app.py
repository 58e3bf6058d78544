"""`qweft serve` and `qweft ui`: transformers' own server, with adapters in the place of models that it would load."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.server import build_server
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerationState, get_response_template

from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.serve.checks import BASE
from qweft.serve.config import PageConfig, ServeConfig
from qweft.serve.models import Voices, open_voices
from qweft.serve.page import add_page
from qweft.serve.requests import Chat, Completion, Response, Unparsed, WithinContext

SERVED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/health")
"""Paths that are answered. transformers' others read further files of the model's folder, or need other models."""
Tell = Callable[[str], None]
"""Takes the address of a server that listens."""


class Adapters(ModelManager):
    """The models of the server: those that it was started with, and no other."""

    def __init__(self, models: Mapping[str, tuple[Any, Any]]) -> None:
        super().__init__(device="cpu", model_timeout=-1)  # it loads nothing, so that its device means nothing
        self.models = dict(models)

    def load_model_and_processor(
        self, model_id_and_revision: str, *_: Any, gguf_file: str | None = None, **__: Any
    ) -> tuple[Any, Any]:
        """Return the model with a name, from which transformers' server may have cut off `:x.gguf` as a file's."""
        name = model_id_and_revision if gguf_file is None else f"{model_id_and_revision}:{gguf_file}"
        if name not in self.models:
            raise HTTPException(404, f"no model {name!r} is served here; there are {', '.join(self.models)}")
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


def serve(model: ModelConfig, folders: Mapping[str, Path], config: ServeConfig, tell: Tell) -> None:
    """Serve adapters, each with the chat template of its run, and their base model until it is stopped."""
    with _listening(config.host, config.port) as listening:
        app = application(open_voices(model, folders, with_base=True, own_templates=True), config.host)
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
