"""The page of `qweft ui`: a client of the server's application, with a token, for this machine alone."""

import json
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from qweft.cli.main import main
from qweft.serve.models import Drawn
from qweft.serve.page import FILES
from tests.serve.pages import COMPLETIONS, Client, served_page

LAYER = "model.layers.1.self_attn.v_proj"


@pytest.fixture(scope="module")
def client(hybrid):
    with served_page(hybrid, beside="base", max_new_tokens=6, seed=3, system="be brief") as client:
        yield client


def test_the_page_knows_its_voices_and_settings(client):
    state = client.look("/page/state")
    assert [voice["name"] for voice in state["voices"]] == ["qtha-0", "base"]
    assert LAYER in state["voices"][0]["layers"] and state["voices"][1]["layers"] == []
    assert state["settings"] == {"max_tokens": 6, "temperature": 0.0, "top_p": 1.0, "seed": 3}
    assert state["system"] == "be brief" and state["context"] == 64


def test_the_circuit_and_its_expectations(client):
    where = f"model=qtha-0&layer={LAYER}"
    drawing = client.look(f"/page/drawing?{where}&width=470")
    assert drawing["picture"].startswith("data:image/svg+xml;base64,")
    assert re.fullmatch(r"2 qubits, \d+ gates, \d+ trained angles", drawing["size"])
    for question in ("How many?", "And?"):
        client.say("qtha-0", question)
    tokens = client.look(f"/page/expectations?{where}")
    assert len(tokens) > 6 and all(len(token["expectations"]) == 2 for token in tokens)
    assert all(-1 <= value <= 1 for token in tokens for value in token["expectations"])
    assert [token["place"] for token in tokens] == list(range(tokens[0]["place"], tokens[0]["place"] + len(tokens)))
    assert "And" in "".join(token["text"] for token in tokens)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/page/drawing?model=qtha-0&layer=nowhere&width=9", 400),
        (f"/page/drawing?model=base&layer={LAYER}&width=9", 400),
        (f"/page/expectations?model=nobody&layer={LAYER}", 404),
        (f"/page/drawing?model=qtha-0&layer={LAYER}&width=x", 422),
        ("/page.html", 404),
        ("/../config.py", 404),
    ],
)
def test_what_is_not_there_is_refused(client, path, status):
    assert client.ask(path)[0] == status


@pytest.mark.parametrize("token", ["", "x", "x" * 43])
def test_without_the_token_nothing_is_answered(client, token):
    """Other users of the machine reach the port, too."""
    for path in ("/", "/page/state", "/v1/models", "/nowhere", f"/?token={token}"):
        for body in (None, {"model": "base"}):
            assert client.ask(path, body, Authorization=f"Bearer {token}")[0] == 403
    assert client.ask(f"/?token={client.token}", Authorization="")[0] == 200


def test_other_hosts_and_origins_read_nothing(client):
    """A name of another page may lead to this machine."""
    assert client.ask("/page/state", Host="evil.example")[0] == 400
    assert client.ask("/page/state", Host=f"localhost:{client.port}")[0] == 200
    for path, (_, kind) in FILES.items():
        status, headers, text = client.ask(path)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        assert "Access-Control-Allow-Origin" not in headers and headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer" and client.token not in text + str(headers)
        policy = dict(each.strip().split(" ", 1) for each in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert not re.findall(r"https?://|//\w+\.\w+/|@import", text)


def test_whoever_goes_stops_the_answer(client, monkeypatch):
    """The next question does not wait for what nobody reads."""
    draw = Drawn.__call__
    monkeypatch.setattr(Drawn, "__call__", lambda *given: (time.sleep(0.1), draw(*given))[1])
    body = {"model": "qtha-0", "messages": [{"role": "user", "content": "a"}], "max_tokens": 40, "stream": True}
    body |= {"logit_bias": {str(token): -100 for token in range(3)}}
    head = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    address = f"http://127.0.0.1:{client.port}{COMPLETIONS}"
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), head)) as answer:
        assert answer.readline()
    client.say("base", "How?", max_tokens=1)
    tokens = client.look(f"/page/expectations?model=qtha-0&layer={LAYER}")
    assert tokens[-1]["place"] < 30


def test_a_port_that_is_taken_is_told(hybrid, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["ui", str(hybrid), "--port", f"{taken.getsockname()[1]}"]) == 2
        assert "cannot be listened at" in capsys.readouterr().err


def test_the_command_serves_until_ctrl_c(hybrid):
    words = [sys.executable, "-m", "qweft", "ui", str(hybrid), "--beside", "base", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stdout], [], [], 600)[0]
        line = process.stdout.readline()
        port = re.fullmatch(r"page: http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43}) \(Ctrl-C ends it\)\n", line)
        client = Client(int(port[1]), port[2])
        assert "<!doctype html>" in client.ask("/")[2]
        assert client.say("base", "How many?")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        said = process.stderr.read()
        assert "Traceback" not in said and client.token not in said
    finally:
        process.kill()
        process.wait()
