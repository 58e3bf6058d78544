"""`qweft ui`: a local HTTP server for the page's files, the conversation and streamed answers."""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit
from weakref import WeakSet

from qweft.chat.chat_models import open_chat_models
from qweft.chat.config import PageConfig
from qweft.chat.dialogue import Dialogue
from qweft.chat.page.session import Event, Session
from qweft.errors import QweftError, StoppedError, saying_when_stopped
from qweft.files import finite
from qweft.text import json_text

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""Accepted host names in a request's Host header; any port is accepted, since a tunnel may use another one."""
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
OPEN = ("/page.css", "/page.js")
"""Files that are served without the token: the page loads them by their names, and the package contains them."""
LONGEST = 2**20
"""Maximum size of a request body in bytes."""
PASSED_OVER = 2**26
"""Bytes of a longer body that are read and dropped, so that the client sees the answer; the rest is cut off."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


UNSAVED = "the page is gone; what was not saved there by /save or as a file is lost"


class Server(ThreadingHTTPServer):
    """The HTTP server of one conversation.

    The port is bound before the model is loaded, so that an unavailable port is reported at once. Requests wait until
    the model is loaded. Every request must carry the token of the page's address: other users of this machine can
    reach the port, too.

    Args:
        port: Local port; 0 chooses a free one.

    Raises:
        QweftError: If the port is unavailable.
    """

    daemon_threads = True
    session: Session

    def __init__(self, port: int):
        self.token = token_urlsafe(32)
        self._busy: WeakSet[Thread] = WeakSet()
        self._is_over = False
        self._lock = Lock()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise QweftError(
                f"--port {port}: it cannot be had ({error.strerror}); give another one, or 0 for one that is free"
            ) from error

    @property
    def address(self) -> str:
        """URL of the page, with the token."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    def is_asked(self) -> bool:
        """Whether requests are still answered; registers the calling thread as busy if so.

        Threads are registered per request, so `wait` does not wait for idle connections of a browser. Requests that
        arrive over them during shutdown are not answered.
        """
        with self._lock:
            if not self._is_over:
                self._busy.add(current_thread())
            return not self._is_over

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a connection that broke: whoever reaches the port could fill the terminal with tracebacks."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def wait(self, patience: float = 10.0) -> None:
        """Rejects new requests, and waits for the threads of earlier ones to end.

        A thread that still computes at interpreter exit would be ended inside PyTorch, which aborts the process.

        Args:
            patience: Maximum waiting time in seconds.
        """
        end = monotonic() + patience
        with self._lock:
            self._is_over = True
            busy = list(self._busy)
        for thread in busy:
            thread.join(max(0.0, end - monotonic()))


class Handler(BaseHTTPRequestHandler):
    """Handles HTTP requests."""

    server: Server
    server_version = "qweft"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # HTTP/0.9 has no status, and errors in the first line are answered in it
    timeout = 60  # seconds for reading a request

    def parse_request(self) -> bool:
        """Parses the request unless the server shuts down."""
        if self.server.is_asked():
            return super().parse_request()
        self.close_connection = True
        return False

    def do_GET(self) -> None:
        """Sends a file of the page, the conversation, the state, or data of a circuit."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Streams the events for a typed line as JSON lines, or stops the current answers."""
        self._answer(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Sends an error of the protocol as JSON, as all other errors are."""
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Does nothing: the terminal shows errors and no requests."""

    def _answer(self, respond: Callable[[], None]) -> None:
        """Answers a request; whatever fails is an error in JSON."""
        try:
            if self._is_for_us() and self._has_token():
                respond()
        except QweftError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"{error}")
        except (ConnectionError, TimeoutError):  # the client is gone, or too slow
            self.close_connection = True
        except Exception as error:
            traceback.print_exc()
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"the program failed ({error}); its terminal says where")

    def _get(self) -> None:
        session = self.server.session
        path = self._url().path
        views: dict[str, Callable[[], Any]] = {
            "/state": session.state,
            "/drawing": lambda: session.drawing(*self._layer(), self._number("width")),
            "/expectations": lambda: session.expectations(*self._layer()),
        }
        if path in FILES:
            name, kind = FILES[path]
            self._send(files("qweft.chat.page").joinpath(name).read_bytes(), kind)
        elif path == "/conversation.jsonl":
            self._send(session.rows().encode(), "application/jsonl", {"Content-Disposition": "attachment"})
        elif path in views:
            self._send_json(views[path]())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no {path}")

    def _post(self) -> None:
        if not self._is_from_the_page():
            return
        path = self._url().path
        if path == "/stop":
            self.server.session.stop()
            self._send_json({})
        elif path == "/take":
            self._stream(self.server.session.take(*self._typed()))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no {path}")

    def _is_for_us(self) -> bool:
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if name not in NAMES:
            self._refuse(HTTPStatus.FORBIDDEN, f"this page is served for {' and '.join(NAMES)} alone")
        return name in NAMES

    def _has_token(self) -> bool:
        given = self._asked("token") or self.headers.get("X-Qweft-Token", "")
        is_known = compare_digest(given.encode(errors="replace"), self.server.token.encode())
        if not is_known and self._url().path not in OPEN:
            self._refuse(HTTPStatus.FORBIDDEN, "open the page at the address that qweft ui printed, with its token")
            return False
        return True

    def _is_from_the_page(self) -> bool:
        is_ours = self.headers.get("Origin") == f"http://{self.headers.get('Host')}"
        is_json = self.headers.get_content_type() == "application/json"
        if not (is_ours and is_json):
            self._refuse(HTTPStatus.FORBIDDEN, "only the page itself may ask this")
        return is_ours and is_json

    def _url(self) -> SplitResult:
        try:
            return urlsplit(self.path)
        except ValueError as error:
            raise QweftError(f"the address of the request is not understood ({error})") from error

    def _layer(self) -> tuple[int, str]:
        return self._number("voice"), self._asked("layer")

    def _asked(self, name: str) -> str:
        return parse_qs(self._url().query).get(name, [""])[0]

    def _number(self, name: str) -> int:
        text = self._asked(name)
        if not (text.isascii() and text.isdecimal() and len(text) < 7):
            raise QweftError(f"{name}: expected a whole number, got {text or 'nothing'}")
        return int(text)

    def _typed(self) -> tuple[str, dict[str, Any]]:
        text = self.headers.get("Content-Length", "")
        size = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
        if size < 0:
            raise QweftError(f"Content-Length: expected the size of the body in bytes, got {text or 'nothing'}")
        if size > LONGEST:
            self._pass_over(min(size, PASSED_OVER))
            raise QweftError(f"a request may have {LONGEST:,} bytes, and this one has more; ask a shorter question")
        try:
            body = json.loads(self.rfile.read(size))
            line, settings = body["line"], body.get("settings", {})
        except RecursionError as error:
            raise QweftError("the JSON is nested too deeply") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QweftError('expected a JSON object with a "line"') from error
        if not isinstance(line, str) or not isinstance(settings, dict):
            raise QweftError('expected a text as "line", and an object as "settings"')
        return line.encode(errors="replace").decode(), settings  # JSON may contain lone surrogates

    def _pass_over(self, size: int) -> None:
        while size > 0 and (read := self.rfile.read(min(size, LONGEST))):
            size -= len(read)

    def _stream(self, events: Iterator[Event]) -> None:
        """Sends each event as it comes; a lost connection stops the answer, whose text so far is kept."""
        is_there = True
        for number, event in enumerate(events):
            if not is_there:
                continue
            try:
                if not number:
                    self._begin(HTTPStatus.OK, "application/jsonl")
                self.wfile.write(json_text(finite(event)).encode() + b"\n")
                self.wfile.flush()
            except OSError:
                is_there = False
                if event["kind"] != "failed":  # else another window is being answered, and this one was refused
                    self.server.session.stop()

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send_json({"error": sentence}, status)

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json_text(finite(value)).encode(), "application/json", status=status)

    def _send(
        self, body: bytes, kind: str, more: dict[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        try:
            self._begin(status, kind, {"Content-Length": f"{len(body)}", **(more or {})})
            self.wfile.write(body)
        except OSError:  # the client disconnected
            self.close_connection = True

    def _begin(self, status: HTTPStatus, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": f"{kind}; charset=utf-8", **HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()


def serve(adapter: Path, config: PageConfig, overrides: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Serves the page on this machine until Ctrl-C, which is its regular end.

    Args:
        adapter: Folder of the adapter.
        config: Options of the chat, and the port.
        overrides: Keys of the section model that differ from the training run.
        tell: Called with the URL of the page once the chat models are loaded.

    Raises:
        QweftError: If an option is invalid, the port is unavailable, or the chat models cannot be loaded.
    """
    config.check()
    with Server(config.port) as server:
        chat_models = open_chat_models(adapter, config, overrides)
        chat_models.ask(Dialogue(config.system), "?", config)  # an endless chat template ends in the main thread alone
        server.session = Session(chat_models, config)
        tell(server.address)
        try:
            with saying_when_stopped(lambda: UNSAVED):
                server.serve_forever()
        except KeyboardInterrupt as stop:
            server.session.end()
            server.wait()
            if isinstance(stop, StoppedError):
                raise
