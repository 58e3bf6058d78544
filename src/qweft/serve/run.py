"""`qweft serve`: transformers' own server, with adapters in the place of models that it would load."""

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

from qweft.chat.chat_models import same_weights
from qweft.data.conversation import Message
from qweft.data.template import for_others, render, with_template
from qweft.errors import QweftError
from qweft.evaluation.generation import end_tokens
from qweft.evaluation.loss import context_of
from qweft.evaluation.record import run_config
from qweft.evaluation.saved import check_runs, put_beside_base
from qweft.models.causal import ENDS
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model
from qweft.serve.config import BASE, ServeConfig
from qweft.serve.requests import SERVED, SETTINGS, Chat, Completion, Response, Sized, Unparsed, WithinContext

Answers = tuple[Any, Any]
"""A model with its tokenizer."""
CONTEXT = 32_768
"""Most tokens of a question and its answer, where the model's config knows no limit."""
SECONDS_TO_END = 5
"""How long Ctrl-C waits for answers that are not finished."""
ALONE = (
    "nothing else can be served beside it; talk with it in qweft chat without --beside, or give another server what "
    "PEFT's merge_and_unload makes of it"
)
"""What follows where an adapter changes weights of the base model, and the ways out."""


class Adapters(ModelManager):
    """The models of the server: those that it was started with, and no other.

    Args:
        models: Models with their tokenizers by name.
    """

    def __init__(self, models: Mapping[str, Answers]) -> None:
        super().__init__(device="cpu", model_timeout=-1)  # it loads nothing, so that its device means nothing
        self.models = dict(models)

    def load_model_and_processor(
        self, model_id_and_revision: str, *_: Any, gguf_file: str | None = None, **__: Any
    ) -> Answers:
        """Returns the model with a name, from which transformers' server may have cut off `:x.gguf` as a file's."""
        name = model_id_and_revision if gguf_file is None else f"{model_id_and_revision}:{gguf_file}"
        if name not in self.models:
            known = ", ".join(self.models)
            raise HTTPException(404, f"no model {name!r} is served here; there are {known}")
        return self.models[name]

    def load_model_streaming(self, model_id_and_revision: str, gguf_file: str | None = None, **_: Any) -> Any:
        """Tells that a model is ready; there is nothing to load. An unknown name is told before the answer begins."""
        self.load_model_and_processor(model_id_and_revision, gguf_file=gguf_file)
        return iter([f'data: {{"status": "ready", "model": "{model_id_and_revision}", "cached": true}}\n\n'])

    @staticmethod
    def process_model_name(model_id: str) -> str:
        """Returns the name as it is; transformers adds a revision."""
        return model_id

    def get_gen_models(self, cache_dir: str | None = None) -> list[dict[str, Any]]:  # type: ignore[override]
        """Returns what the server lists."""
        return [{"id": name, "object": "model", "owned_by": "qweft", "created": 0} for name in self.models]

    def shutdown(self) -> None:
        """Keeps the models: a client may ask for this (/reset)."""


class OneAtATime(GenerationState):
    """One thread that generates for all models, since their circuits share threads that only one caller may use."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.manager = WithinContext(context)

    def get_manager(self, model_id: str, use_cb: bool = False) -> Any:
        """Returns the one manager."""
        return self.manager

    def shutdown(self) -> None:
        """Ends all answers."""
        self.manager.stop()


def open_models(model: ModelConfig, folders: Mapping[str, Path]) -> dict[str, Answers]:
    """Loads the base model once, and puts each adapter on module trees that share its weights.

    Args:
        model: The base model.
        folders: Folders of adapters by name.

    Returns:
        The models with their tokenizers by name; a tokenizer has the chat template of the adapter's run.

    Raises:
        QweftError: If a model or an adapter does not load, or loading an adapter changed weights that others share.
    """
    loaded = load_model(model)
    loaded.model.generation_config = _plain(loaded.model.generation_config)
    found: dict[str, Answers] = {}
    for name, folder in folders.items():
        tree = same_weights(loaded.model)
        at = LoadedModel(tree, loaded.tokenizer, loaded.source, loaded.dtype, loaded.device)
        adapted = put_beside_base(at, folder, ALONE)
        check_runs(adapted, at, folder)
        tokenizer = with_template(loaded.tokenizer, run_config(folder).get("data", {}).get("template"))
        found[name] = _answers(adapted, tokenizer)
    return {**found, BASE: _answers(loaded.model, loaded.tokenizer)}


def _answers(model: Any, tokenizer: Any) -> Answers:
    """Returns a model with its tokenizer, whose answers end where those of the other commands do."""
    model.generation_config.eos_token_id = sorted(end_tokens(model, tokenizer)) or None
    made = for_others(tokenizer)
    made.response_template = None  # one of the model's folder: expressions of a stranger, on every answer
    parse = made.parse_response

    def parse_response(ids: Any, *given: Any, **named: Any) -> Any:
        """Takes an answer as it is if its calls are cut or malformed."""
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


def _plain(config: GenerationConfig) -> GenerationConfig:
    """Returns what a client may set, too, of a model's own file: others of its values could keep the server busy.

    Its penalty of repetitions is left out: it acts at temperature 0 too, and no other command has it. Without a top_k
    all tokens are drawn from, as in `qweft chat`; transformers would take the 50 most likely ones.
    """
    kept = (*ENDS, *(name for name in SETTINGS if name not in ("max_new_tokens", "repetition_penalty")))
    found = {name: getattr(config, name, None) for name in kept}
    return GenerationConfig(**{**found, "top_k": found["top_k"] or 0})


def application(models: Mapping[str, Answers], host: str) -> Any:
    """Returns the server's application.

    A page in a browser may look up a name that leads to this machine. So a server of this machine alone answers only to
    its own names.

    Args:
        models: Models with their tokenizers by name.
        host: Address that it listens at.

    Raises:
        QweftError: If the installed transformers has another server.
    """
    manager, state = Adapters(models), OneAtATime(context_of(models[BASE][0]) or CONTEXT)
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
    app.add_middleware(Sized)
    if _is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host])
    return app


async def _refused(_: Any, fault: Exception) -> JSONResponse:
    """Returns the answer to a request that transformers' handlers do not expect, in place of a traceback."""
    said = str(fault) if isinstance(fault, QweftError) else f"the request cannot be answered: {fault}"
    return JSONResponse({"detail": said[:300]}, 400)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(model: ModelConfig, folders: Mapping[str, Path], config: ServeConfig, tell: Callable[[str], None]) -> None:
    """Serves adapters until it is stopped.

    Args:
        model: The base model.
        folders: Folders of adapters by name.
        config: The address.
        tell: Called with the address once requests are answered.

    Raises:
        QweftError: As `open_models`, or the address cannot be listened at.
    """
    try:
        listening = socket.create_server((config.host, config.port), family=_family(config.host))
    except OSError as error:
        raise QweftError(
            f"{config.host} port {config.port} cannot be listened at ({error.strerror or error}); "
            "give another --port or --host"
        ) from error
    with listening:
        app = application(open_models(model, folders), config.host)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SECONDS_TO_END))
        port = listening.getsockname()[1]
        shown = f"[{config.host}]" if ":" in config.host else config.host
        tell(f"http://{shown}:{port}/v1")
        asyncio.run(_serve(server, listening, app.state.generation))


async def _serve(server: uvicorn.Server, listening: socket.socket, answers: OneAtATime) -> None:
    try:
        await server.serve(sockets=[listening])
    finally:
        answers.shutdown()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
