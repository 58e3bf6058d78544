"""Requests to the page of `qweft ui` that are malformed: each has a status and a reason, and the page goes on."""

import http.client
import json
import re
import socket
import threading

import pytest

from qweft import QwthnConfig
from qweft.chat.chat_models import open_chat_models
from qweft.chat.config import ChatConfig
from qweft.chat.page.server import Server
from qweft.chat.page.session import Session
from qweft.text import CONTROLS
from tests.chat.conftest import TARGETS, save_adapter
from tests.malformed.cases import LONGEST_SECONDS, cases
from tests.malformed.mutations import JSON_ODD, malformed_json, misspelt, mutated_bytes

LAYER = "model.layers.1.self_attn.v_proj"
BODIES = (
    {"line": "How many?", "settings": {"max_new_tokens": 2, "temperature": 0.5, "top_p": 0.9, "seed": 3}},
    {"line": "/system be brief", "settings": {}},
    {"line": "/save said.jsonl"},
    {"line": "/reset"},
    {"line": "/help"},
)
PATHS = ("/", "/page.css", "/page.js", "/state", "/conversation.jsonl", "/take", "/stop", "/nowhere",
         f"/drawing?voice=0&layer={LAYER}&width=470", f"/expectations?voice=0&layer={LAYER}")  # fmt: skip
VERSIONS = (*["HTTP/1.1"] * 40, "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP", "")
LINES = ("/save ../a", "/save /tmp/a", "/save a\x00b", "/save " + "x" * 5000, "/save .", "/system " + "x" * 20_000,
         "/save", "\x1b[2J", "\ud800", "", " ", "x " * 3000, "/save ~/a", "/save a/b/c")  # fmt: skip


@pytest.fixture(scope="module")
def page(tiny_run, tmp_path_factory):
    """A server of a short conversation."""
    config = QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2, target_modules=TARGETS)
    adapter = save_adapter(tiny_run[0], tmp_path_factory.mktemp("page") / "qtha-0" / "adapter", config)
    chat = ChatConfig(max_new_tokens=2)
    with Server(0) as server:
        server.session = Session(open_chat_models(adapter, chat, {"model": {"name": tiny_run[0]}}), chat)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.session.end()
        server.shutdown()
        thread.join()


def request_of(page, draw):
    """The bytes of a request, most of them with something wrong in them."""
    host = f"127.0.0.1:{page.server_port}"
    method = draw.choice(("GET", "POST", "POST", "POST"))
    if draw.random() < 0.1:
        method = draw.choice(("PUT", "HEAD", "", "get", "OPTIONS", "X" * 300, "é"))
    path = draw.choice(PATHS) if method != "POST" or draw.random() < 0.3 else "/take"
    body = draw.choice(BODIES)
    if draw.random() < 0.25:
        body = {**body, "line": draw.choice(LINES)}
    content = malformed_json(body, draw) if draw.random() < 0.6 else json.dumps(body).encode()
    headers = {
        "Host": host, "Origin": f"http://{host}", "Content-Type": "application/json", "X-Qweft-Token": page.token,
        "Content-Length": str(len(content)), "Connection": "close",
    }  # fmt: skip
    for _ in range(draw.choice((0, 0, 0, 1, 1, 2))):
        name = draw.choice(sorted(headers))
        how = draw.randrange(5)
        if how == 0:
            del headers[name]
        elif how == 1:
            headers[name] = misspelt(headers[name], draw)
        elif how == 2:
            headers[name] = str(draw.choice(JSON_ODD))[:500]
        elif how == 3:
            headers[misspelt(name, draw)] = headers.pop(name)
        else:
            headers["Content-Length"] = draw.choice(("-1", "0", "1e9", "5", "99999999999", "1" * 30, "", "0x10", "+3"))
        if len(headers) < 4:
            break
    if draw.random() < 0.3:
        path = draw.choice((misspelt(path, draw), path + "&voice=" + str(draw.choice(JSON_ODD))[:200],
                            path.replace("=", "=\ud800"), "//[", "/%00", "/../../etc/passwd", "/" + "x" * 70_000,
                            "http://evil.example/", path.replace("voice=0", "voice=99999999999"), "*",
                            path.replace("width=470", "width=999999"), "/?token=" + "%ff" * 20))  # fmt: skip
    text = f"{method} {path} {draw.choice(VERSIONS)}\r\n"
    text += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    head = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.1:
        head = mutated_bytes(head, draw)
    return head + content


def answer_to(page, sent):
    """Everything that the server answers to a client that says no more."""
    with socket.create_connection(("127.0.0.1", page.server_port), timeout=LONGEST_SECONDS) as line:
        try:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has answered before the end of what was sent
        found = b""
        while True:
            try:
                piece = line.recv(65536)
            except ConnectionResetError:
                return found
            if not piece:
                return found
            found += piece


def test_malformed_requests(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for number, draw in cases("requests"):
        sent = request_of(page, draw)
        found = answer_to(page, sent)
        what = f"request {number}: {sent!r:.1500}\n{found!r:.500}"
        assert re.match(rb"HTTP/1\.[01] \d\d\d ", found) or not sent.partition(b"\r\n")[0].strip(), what
        status, body = found[9:12], found.partition(b"\r\n\r\n")[2]
        assert b"Traceback" not in found, what
        assert status != b"500", what
        if status[:1] in (b"4", b"5") and body:
            sentence = json.loads(body)["error"]
            assert sentence and len(sentence) < 2000 and not CONTROLS.search(body.decode()), what
        assert b"the program failed" not in body, what
        assert not capfd.readouterr().err, what
    connection = http.client.HTTPConnection("127.0.0.1", page.server_port, timeout=LONGEST_SECONDS)
    connection.request("GET", "/state", headers={"X-Qweft-Token": page.token})
    assert not json.loads(connection.getresponse().read())["is_busy"]
    connection.close()
