"""The page of `qweft ui`: static files and views of circuits beside the answers of the server's application."""

from functools import partial
from importlib.resources import files
from secrets import compare_digest, token_urlsafe
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

import torch
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response

from qweft.adapter.attach import base_of
from qweft.circuit.draw.picture import circuit_uri
from qweft.core.errors import QweftError
from qweft.core.files import finite
from qweft.core.text import many
from qweft.evaluation.on_device import circuit_layers
from qweft.serve.config import PageConfig
from qweft.serve.models import Voices

NEWEST = 24
"""Number of latest tokens whose values are shown."""


class Circuits:
    """The circuits of one model and their values, which are those that the answer uses."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        try:
            cores = circuit_layers(model)
        except QweftError:  # the base model, or an adapter without a circuit
            cores = {}
        self.by_layer = {layer: core.circuit for layer, core in cores.items()}  # in the model's order
        self._lock = Lock()  # one thread generates the answer while others read the values
        self._forget()
        if cores:
            base_of(model).register_forward_pre_hook(self._read, with_kwargs=True)
        for layer, core in cores.items():
            core.observed_by = partial(self._note, layer)

    def expectations_of(self, layer: str) -> list[dict[str, Any]]:
        """Return `place`, `text` and `expectations` <Z_i> of each of the latest tokens, in text order."""
        with self._lock:
            kept, ids = list(self._kept[layer]), list(self._ids)
        values = torch.cat(kept).tolist() if kept else []
        if len(values) not in (0, len(ids) - 1, len(ids)):  # an expert gets some tokens, and a shared layer each twice
            raise QweftError(f"{layer} does not see each token once, so its values belong to no token")
        return [
            {"place": place, "text": self._tokenizer.decode([ids[place]]), "expectations": values[place]}
            for place in range(len(values))[-NEWEST:]
        ]

    def _forget(self) -> None:
        self._ids: list[int] = []
        self._kept: dict[str, list[torch.Tensor]] = {layer: [] for layer in self.by_layer}

    def _read(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the tokens of a model call, a forward pre-hook; a call with several tokens begins the text."""
        ids = kwargs["input_ids"].reshape(-1).tolist()
        with self._lock:
            if len(ids) > 1:
                self._forget()
            self._ids += ids

    def _note(self, layer: str, values: torch.Tensor) -> None:
        """Record the values of a layer."""
        with self._lock:
            self._kept[layer].append(values.detach().reshape(-1, values.shape[-1]).float())


FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
OPEN = ("/page.css", "/page.js")
"""Files that are served without the token: the page loads them by their names, and the package contains them."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_page(app: Any, voices: Voices, config: PageConfig) -> str:
    """Add the page to the server's application; return its token."""
    circuits = {name: Circuits(model, tokenizer) for name, (model, tokenizer) in voices.models.items()}
    state = {
        "voices": [{"name": name, "layers": list(each.by_layer)} for name, each in circuits.items()],
        "origin": voices.origin,
        "system": config.system,
        "context": voices.context,
        "settings": {
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "seed": config.seed,
        },
    }

    def of(model: str) -> Circuits:
        if model not in circuits:
            raise HTTPException(404, f"no model {model!r} is on the page; there are {', '.join(circuits)}")
        return circuits[model]

    def add_file(path: str, name: str, kind: str) -> None:
        content = files("qweft.serve").joinpath("static", name).read_bytes()
        app.add_api_route(path, lambda: Response(content, media_type=kind))

    for path, (name, kind) in FILES.items():
        add_file(path, name, kind)

    @app.get("/page/state")
    def page_state() -> Any:
        return state

    @app.get("/page/drawing")
    def drawing(model: str, layer: str, width: int) -> Any:
        circuit: Any = of(model).by_layer[layer]
        sizes = ((circuit.qubits, "qubit"), (len(circuit.gates), "gate"), (circuit.parameters, "trained angle"))
        return {"picture": circuit_uri(circuit, width), "size": ", ".join(many(*size) for size in sizes)}

    @app.get("/page/expectations")
    def expectations(model: str, layer: str) -> Any:
        return finite(of(model).expectations_of(layer))

    token = token_urlsafe(32)
    app.add_middleware(Guarded, token=token)
    return token


class Guarded:
    """An application whose requests must carry a token: other users of this machine can reach the port, too."""

    def __init__(self, app: Any, token: str) -> None:
        self.app = app
        self._token = token.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, with the security headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        given = asked or Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
        if scope["path"] in OPEN or compare_digest(given.encode(errors="replace"), self._token):
            await self.app(scope, receive, guarded)
        else:
            message = "open the page at the address that qweft ui printed, with its token"
            await JSONResponse({"detail": message}, 403)(scope, receive, guarded)
