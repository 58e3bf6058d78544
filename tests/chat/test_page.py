"""The page's server: what it answers, what it refuses, and that it reaches and is reached from nowhere else."""

import http.client
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from qweft.chat.chat_models import open_chat_models
from qweft.chat.config import ChatConfig, PageConfig
from qweft.chat.page.server import FILES, Handler, Server
from qweft.chat.page.session import BUSY, Session, with_settings
from qweft.cli.main import main
from qweft.errors import QweftError

LAYER = "model.layers.1.self_attn.v_proj"


@contextmanager
def served(session):
    with Server(0) as server:
        server.session = session
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Client(server.server_port, server.token)
        finally:
            session.end()
            server.shutdown()
            thread.join()


class Client:
    def __init__(self, port, token):
        self.port, self.token = port, token

    def ask(self, method, path, body=None, **headers):
        """Status, headers, text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        ours = {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json"}
        ours["X-Qweft-Token"] = self.token
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in (ours | given).items() if value is not None}
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body), sent)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def look(self, path):
        return json.loads(self.ask("GET", path)[2])

    def take(self, line, **settings):
        lines = self.ask("POST", "/take", {"line": line, "settings": settings})[2].splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def client(both):
    with served(Session(both, ChatConfig(max_new_tokens=6))) as client:
        yield client


def test_a_question_is_answered_piece_by_piece_and_kept(client):
    events = client.take("How many?")
    kinds = [(event["kind"], event.get("voice")) for event in events]
    ends = [kinds.index(("done", voice)) for voice in (0, 1)]
    assert set(kinds[: ends[0]]) == {("piece", 0)} and set(kinds[ends[0] + 1 : ends[1]]) == {("piece", 1)}
    assert kinds[-1] == ("done", 1) and re.match(r"6 tokens, [\d.]+ a second; cut by", events[-1]["note"])
    texts = ["".join(event["text"] for event in events if event.get("voice") == voice and event["kind"] == "piece")
             for voice in (0, 1)]  # fmt: skip
    state = client.look("/state")
    assert state["turns"] == [{"question": "How many?", "answers": [text.strip() for text in texts]}]
    assert [voice["name"] for voice in state["voices"]] == ["qtha-0", "base"] and not state["is_busy"]
    rows = [json.loads(line) for line in client.ask("GET", "/conversation.jsonl")[2].splitlines()]
    assert [row["messages"][-1]["content"] for row in rows] == state["turns"][0]["answers"]


def test_answers_are_those_of_the_terminal(client, monkeypatch, capsys, hybrid):
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"How many?\nAnd now?\n")))
    main(["chat", str(hybrid), "--beside", "base", "--max-new-tokens", "6", "--json"])
    told = [json.loads(line)["answers"] for line in capsys.readouterr().out.splitlines()]
    client.take("How many?")
    client.take("And now?")
    turns = client.look("/state")["turns"]
    assert [turn["answers"] for turn in turns] == [[given["text"] for given in each.values()] for each in told]


def test_the_circuit_and_its_expectations(client):
    layers = [voice["layers"] for voice in client.look("/state")["voices"]]
    assert LAYER in layers[0] and layers[1] == []
    assert client.look(f"/expectations?voice=0&layer={LAYER}") == []
    drawing = client.look(f"/drawing?voice=0&layer={LAYER}&width=470")
    assert drawing["svg"].startswith("<svg") and "style=" not in drawing["svg"]
    assert re.fullmatch(r"2 qubits, \d+ gates, \d+ trained angles", drawing["size"])
    client.take("How many?")
    tokens = client.look(f"/expectations?voice=0&layer={LAYER}")
    assert len(tokens) > 6 and all(len(token["expectations"]) == 2 for token in tokens)
    assert all(-1 <= value <= 1 for token in tokens for value in token["expectations"])
    assert [token["place"] for token in tokens] == list(range(tokens[0]["place"], tokens[0]["place"] + len(tokens)))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/drawing?voice=0&layer=nowhere&width=9", "there is no layer nowhere with a circuit"),
        (f"/drawing?voice=1&layer={LAYER}&width=9", f"there is no layer {LAYER} with a circuit"),
        (f"/expectations?voice=7&layer={LAYER}", "there is no voice 7; there are 2, counted from 0"),
        ("/expectations", "voice: expected a whole number, got nothing"),
        ("/expectations?voice=-1", "voice: expected a whole number, got -1"),
        (f"/drawing?voice=0&layer={LAYER}&width=9e9", "width: expected a whole number, got 9e9"),
    ],
)
def test_a_look_at_what_is_not_there_is_refused(client, path, told):
    status, _, text = client.ask("GET", path)
    assert status == 400 and told in json.loads(text)["error"]


def test_commands(client, tmp_path, monkeypatch):
    client.take("How many?")
    monkeypatch.chdir(tmp_path)
    assert client.take("/save said.jsonl") == [{"kind": "said", "text": "saved: said.jsonl, 1 turn"}]
    assert len((tmp_path / "said.jsonl").read_text().splitlines()) == 2
    assert client.take("/reset")[0]["text"] == "1 turn forgotten"
    assert client.take("/system be brief")[0]["text"] == "system message: be brief"
    state = client.look("/state")
    assert state["turns"] == [] and state["system"] == "be brief"
    assert "/save FILE" in client.take("/help")[0]["text"]
    assert "Ctrl-C in the terminal" in client.take("/quit")[0]["text"]
    assert client.take("/nonsense")[0]["kind"] == "failed"
    assert client.take(" /reset")[-1]["kind"] == "done"  # a question


def test_what_is_wrong_is_one_sentence(client):
    for line, settings, told in (
        ("", {}, "nothing was asked"),
        ("x y z " * 40, {}, "tokens long"),
        ("How?", {"temperature": -1}, "temperature -1: give 0"),
        ("How?", {"max_new_tokens": None}, "max new tokens: expected a whole number, got nothing"),
        ("How?", {"top_p": "much"}, "top p: expected a number, got much"),
        ("How?", {"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ("How?", {"beside": "x"}, "there is no setting beside"),
    ):
        (event,) = client.take(line, **settings)
        assert event["kind"] == "failed" and told in event["text"], line
        assert "\n" not in event["text"] and "--" not in event["text"], line
    assert client.look("/state")["turns"] == []


def test_settings_hold_for_a_question(client):
    assert client.take("How many?", max_new_tokens=2)[-1]["note"].startswith("2 tokens")
    assert client.take("How many?")[-1]["note"].startswith("6 tokens")
    config = with_settings(PageConfig(beside="base"), {"temperature": 1, "seed": 3.0})
    assert config == PageConfig(beside="base", temperature=1.0, seed=3)


def test_a_fault_of_the_program_ends_the_answer_and_not_the_page(client, both, monkeypatch, capsys):
    monkeypatch.setattr("qweft.chat.answering.Answering._read", lambda *_: 1 / 0)
    (event,) = client.take("How?")
    assert event == {
        "kind": "failed", "text": "the program failed (division by zero); its terminal says where"
    }  # fmt: skip
    monkeypatch.undo()
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert client.take("How?")[-1]["kind"] == "done"


class Slow:
    """Makes each token wait until it may come."""

    def __init__(self, monkeypatch):
        from qweft.chat import answering

        read, self.may, self.came = answering.Answering._read, threading.Semaphore(0), threading.Semaphore(0)

        def wait(*args):
            self.came.release()
            assert self.may.acquire(timeout=300)
            return read(*args)

        monkeypatch.setattr(answering.Answering, "_read", wait)

    def let(self, tokens):
        for _ in range(tokens):
            self.may.release()


@pytest.fixture
def slow(monkeypatch):
    return Slow(monkeypatch)


def test_stop_ends_the_answers_and_keeps_what_was_given(slow, client):
    events = []
    thread = threading.Thread(target=lambda: events.extend(client.take("How many?")))
    thread.start()
    slow.let(3)
    for _ in range(4):
        assert slow.came.acquire(timeout=300)
    assert client.look("/state")["is_busy"]
    assert client.take("And now?") == [{"kind": "failed", "text": BUSY}]
    assert client.take("/reset") == [{"kind": "failed", "text": BUSY}]
    assert client.ask("POST", "/stop")[0] == 200
    slow.let(9)
    thread.join(60)
    notes = [event["note"] for event in events if event["kind"] == "done"]
    assert notes[0].startswith("3 tokens") and notes[1].startswith("0 tokens") and "; stopped" in notes[1]
    (turn,) = client.look("/state")["turns"]
    assert turn["answers"][0] and turn["answers"][1] == ""


def test_whoever_goes_stops_the_answer(slow, client):
    body = json.dumps({"line": "How many?", "settings": {"max_new_tokens": 40}})
    with socket.create_connection(("127.0.0.1", client.port), timeout=300) as line:
        host = f"127.0.0.1:{client.port}"
        line.sendall(
            f"POST /take HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n"
            f"X-Qweft-Token: {client.token}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        slow.let(2)
        assert line.recv(100)
    slow.let(100)
    end = time.monotonic() + 300
    while client.look("/state")["is_busy"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    (turn,) = client.look("/state")["turns"]
    assert turn["answers"][0] and turn["answers"][1] == ""  # the second was never begun in earnest


def test_a_refused_window_that_goes_stops_no_other():
    """Its own refusal cannot be sent, which is no reason to end what another window reads."""
    stopped = []

    def gone(*_):
        raise OSError("gone")

    handler = SimpleNamespace(
        server=SimpleNamespace(session=SimpleNamespace(stop=lambda: stopped.append(True))),
        _begin=gone,
    )
    Handler._stream(handler, iter([{"kind": "failed", "text": BUSY}]))
    assert not stopped
    Handler._stream(handler, iter([{"kind": "piece", "voice": 0, "text": "a"}]))
    assert stopped


@pytest.mark.parametrize("line", ["GET /state HTTP", "GET /state HTTP/9.9", "POST /take", "GET /state", "x", "x y z w"])
def test_an_odd_first_line_is_answered_with_a_status(client, line):
    with socket.create_connection(("127.0.0.1", client.port), timeout=300) as connection:
        connection.sendall(f"{line}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.0 (400|403|501|505) ", connection.recv(100))


def test_other_pages_of_the_same_browser_are_refused(client):
    """A name of theirs may lead to this machine, and their scripts may send requests here."""
    for headers in ({"Host": "evil.example:80"}, {"Host": ""}, {"Host": f"evil.example:{client.port}"}):
        for path in ("/", "/state", "/conversation.jsonl"):
            status, _, text = client.ask("GET", path, **headers)
            assert status == 403 and "127.0.0.1 and localhost alone" in text
    ours = f"http://127.0.0.1:{client.port}"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": None}, {"Origin": "null"},
                    {"Origin": "http://127.0.0.1:1"}, {"Content-Type": "text/plain"},
                    {"Content-Type": "application/x-www-form-urlencoded"}):  # fmt: skip
        for path in ("/take", "/stop"):
            status, _, text = client.ask("POST", path, {"line": "/reset"}, **headers)
            assert status == 403 and "only the page itself" in text, headers
    tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert client.ask("GET", "/state", **tunnel)[0] == client.ask("POST", "/stop", **tunnel)[0] == 200
    assert client.ask("POST", "/stop", Origin=ours)[0] == 200


def test_no_origin_may_read_and_nothing_is_loaded_from_elsewhere(client):
    for path, (_, kind) in FILES.items():
        status, headers, text = client.ask("GET", path)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        assert "Access-Control-Allow-Origin" not in headers and headers["X-Content-Type-Options"] == "nosniff"
        policy = dict(each.strip().split(" ", 1) for each in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert {source for allowed in policy.values() for source in allowed.split()} == {"'none'", "'self'", "data:"}
        assert not re.findall(r"https?://|//\w+\.\w+/|@import", text)


@pytest.mark.parametrize(
    "path", ["/", "/state", "/conversation.jsonl", "/nowhere", f"/expectations?voice=0&layer={LAYER}"]
)
@pytest.mark.parametrize("token", [None, "", "x", "é", "x" * 43])
def test_without_the_token_nothing_is_answered(client, path, token):
    """Other users of the machine reach the port, too."""
    for method in ("GET", "POST"):
        status, _, text = client.ask(method, path, {"line": "/save a.jsonl"}, X_Qweft_Token=token)
        assert status == 403 and json.loads(text)["error"].startswith("open the page at the address")
    marked = f"{path}{'&' if '?' in path else '?'}token={client.token}"
    assert client.ask("GET", marked, X_Qweft_Token=None)[0] == (404 if path == "/nowhere" else 200)


def test_the_token_is_another_each_time_and_said_nowhere(client, capfd):
    with Server(0) as server:
        assert server.token != client.token and len(server.token) == 43
    status, headers, _ = client.ask("GET", f"/?token={client.token}", X_Qweft_Token=None)
    assert status == 200 and headers["Referrer-Policy"] == "no-referrer" and client.token not in str(headers)
    client.ask("GET", f"/nowhere?token={client.token}")
    assert client.token not in "".join(capfd.readouterr())


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", 'expected a JSON object with a "line"'),
        (b"[1]", 'expected a JSON object with a "line"'),
        (b"\xff", 'expected a JSON object with a "line"'),
        (b'{"line": 1}', 'expected a text as "line"'),
        (b'{"line": "x", "settings": []}', "an object as"),
        (b'{"line": "' + b"x" * 2**20 + b'"}', "may have 1,048,576 bytes"),
        (b'{"line": "' + b"x" * 2**23 + b'"}', "may have 1,048,576 bytes"),
        (DEEP, "nested too deeply"),
        (b'{"line": "x", "settings": ' + DEEP + b"}", "nested too deeply"),
        (b'{"line": ' + b"9" * 5000 + b"}", 'expected a JSON object with a "line"'),
    ],
)
def test_malformed_requests(client, body, told):
    status, _, text = client.ask("POST", "/take", body)
    assert status == 400 and told in json.loads(text)["error"]


@pytest.mark.parametrize(
    ("head", "status", "told"),
    [
        ("POST /take HTTP/1.1\r\nContent-Length: -1", 400, "expected the size of the body in bytes, got -1"),
        ("POST /take HTTP/1.1\r\nContent-Length: 1e3", 400, "expected the size of the body in bytes, got 1e3"),
        ("POST /take HTTP/1.1", 400, "expected the size of the body in bytes, got nothing"),
        ("POST /take HTTP/1.1\r\nTransfer-Encoding: chunked", 400, "got nothing"),
        ("GET http://[ HTTP/1.1", 400, "the address of the request is not understood"),
        ("PUT /take HTTP/1.1", 501, "Unsupported method"),
        ("GET /" + "x" * 70_000 + " HTTP/1.1", 414, "Too Long"),
        ("GET / HTTP/1.1" + "\r\nx: y" * 200, 431, "Too many headers"),
        (f"GET /drawing?voice=0&layer=%00{LAYER}&width=9 HTTP/1.1", 400, "there is no layer"),
    ],
)
def test_malformed_heads_are_answered_in_json(client, head, status, told):
    host = f"127.0.0.1:{client.port}"
    ours = f"Host: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\nX-Qweft-Token: {client.token}"
    with socket.create_connection(("127.0.0.1", client.port), timeout=60) as line:
        line.sendall(f"{head}\r\n{ours}\r\n\r\n".encode())
        answer = b""
        while piece := line.recv(2**16):
            answer += piece
    first, _, body = answer.decode().partition("\r\n\r\n")
    assert f" {status} " in first.splitlines()[0] and told in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seed": 2**64}, "seed: expected a whole number"),
        ({"seed": -1}, "seed -1: give 0 or more"),
        ({"max_new_tokens": 0}, "max new tokens 0: an answer has at least 1 token"),
        ({"seed": True}, "seed: expected a whole number, got True"),
        ({"max_new_tokens": 1e300}, "max new tokens: expected a whole number, got 1e+300"),
        ({"max_new_tokens": [1]}, "max new tokens: expected a whole number, got list"),
        ({"temperature": 10**400}, "temperature: expected a number"),
        ({"temperature": float("nan")}, "temperature: expected a number, got nan"),
        ({"top_p": float("inf")}, "top p: expected a number, got inf"),
    ],
)
def test_settings_out_of_range_are_one_sentence(client, settings, told, capfd):
    (event,) = client.take("How?", **settings)
    assert event["kind"] == "failed" and event["text"].startswith(told) and len(event["text"]) < 120
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{outside}/a.jsonl", "alone; name a file in it"),
        ("../a.jsonl", "alone; name a file in it"),
        ("~/a.jsonl", "alone; name a file in it"),
        ("link/a.jsonl", "alone; name a file in it"),
        ("a\0b.jsonl", "it cannot be written"),
        ("~nobody-here/a.jsonl", "it cannot be written"),
        ("x" * 300 + ".jsonl", "it cannot be written"),
        ("a.txt", "ends in .jsonl"),
    ],
)
def test_the_page_saves_in_its_own_folder_alone(client, tmp_path, monkeypatch, name, told):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    monkeypatch.chdir(inside)
    client.take("How many?", max_new_tokens=1)
    (event,) = client.take(f"/save {name.replace('{outside}', str(outside))}")
    assert event["kind"] == "failed" and told in event["text"]
    assert list(outside.iterdir()) == [] and [path.name for path in inside.iterdir()] == ["link"]


@pytest.mark.parametrize("path", ["/../../x", "/session.py", "/page.html", "//127.0.0.1/", "/%2e%2e/x", "/state/"])
def test_no_other_file_is_served(client, path):
    assert client.ask("GET", path)[0] == 404 and client.ask("POST", path)[0] == 404


def test_half_characters_do_no_harm(client):
    assert client.ask("POST", "/take", b'{"line": "a\\ud800b"}')[0] == 200
    assert client.ask("GET", "/conversation.jsonl")[0] == 200


@pytest.mark.parametrize("sent", ["", "GET / HT", "GET / HTTP/1.1\r\nHost", "all"])
def test_a_connection_that_breaks_says_nothing_on_the_terminal(client, sent, capfd):
    """Whoever reaches the port can break connections, without the token."""
    host = f"127.0.0.1:{client.port}"
    whole = (
        f"POST /take HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n"
        f"X-Qweft-Token: {client.token}\r\nContent-Length: 99\r\n\r\n{{"
    )
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", client.port), timeout=60) as line:
            line.sendall((whole if sent == "all" else sent).encode())
            time.sleep(0.05)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that closing resets
    time.sleep(0.2)
    assert client.ask("GET", "/state")[0] == 200
    assert capfd.readouterr().err == ""


def test_it_listens_on_this_machine_alone():
    with Server(0) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.address == f"http://127.0.0.1:{server.server_port}/?token={server.token}"


def test_a_port_that_is_taken_is_told_before_a_model_is_loaded(hybrid, capsys, monkeypatch):
    monkeypatch.setattr("qweft.chat.page.server.open_chat_models", lambda *_: pytest.fail("loaded"))
    with Server(0) as server:
        assert main(["ui", str(hybrid), "--port", f"{server.server_port}"]) == 2
    err = capsys.readouterr().err
    assert re.search(r"--port \d+: it cannot be had \(Address already in use\); give another one, or 0", err)
    assert main(["ui", str(hybrid), "--port", "70000"]) == 2
    assert "ports are 0 to 65535" in capsys.readouterr().err


def test_voices_that_cannot_be_opened_are_told(hybrid, capsys):
    assert main(["ui", str(hybrid), "--port", "0", "--beside", "nowhere"]) == 2
    assert "--beside nowhere: no such folder" in capsys.readouterr().err


def test_an_adapter_without_a_circuit_is_talked_with(lora):
    with served(Session(open_chat_models(lora, ChatConfig(), {}), ChatConfig(max_new_tokens=3))) as client:
        assert client.look("/state")["voices"] == [{"name": "lora-0", "layers": []}]
        assert client.take("How?")[-1]["kind"] == "done"


def test_both_adapters_may_have_circuits(hybrid, model, tmp_path):
    from qweft import QwthnConfig
    from tests.chat.conftest import save_adapter

    other = save_adapter(model, tmp_path / "qwthn-1", QwthnConfig.preset("qwthn", r=3, target_modules=["v_proj"]))
    config = ChatConfig(beside=str(other), max_new_tokens=3)
    with served(Session(open_chat_models(hybrid, config, {}), config)) as client:
        client.take("How?")
        for voice, qubits in ((0, 2), (1, 3)):
            tokens = client.look(f"/expectations?voice={voice}&layer={LAYER}")
            assert {len(token["expectations"]) for token in tokens} == {qubits}


def test_the_command_serves_until_ctrl_c(hybrid):
    words = [sys.executable, "-m", "qweft", "ui", str(hybrid), "--beside", "base", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert select.select([process.stdout], [], [], 600)[0]
        line = process.stdout.readline()
        port = re.fullmatch(r"page: http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43}) \(Ctrl-C ends it\)\n", line)
        client = Client(int(port[1]), port[2])
        assert "<!doctype html>" in client.ask("GET", "/")[2]
        assert client.take("How many?", max_new_tokens=9)[-1]["note"].startswith("9 tokens")
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0 and process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_waits_for_what_is_being_computed(hybrid):
    """A thread that the interpreter ends while it is within PyTorch takes the whole program down with an abort."""
    slow = (
        "import sys, time, torch\nfrom qweft.chat.circuits import Circuits\nfrom qweft.cli.main import main\n"
        "def look(self, layer):\n"
        "    end = time.monotonic() + 3\n"
        "    print('looking', flush=True)\n"
        "    while time.monotonic() < end:\n"
        "        torch.rand(300, 300) @ torch.rand(300, 300)\n"
        "    return []\n"
        "Circuits.expectations_of = look\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", slow, "ui", str(hybrid), "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port, token = re.search(r":(\d+)/\?token=([\w-]+)", process.stdout.readline()).groups()
        port = int(port)
        idle = socket.create_connection(("127.0.0.1", port))  # as browsers open them; nobody waits for these
        thread = threading.Thread(target=lambda: Client(port, token).look(f"/expectations?voice=0&layer={LAYER}"))
        thread.start()
        assert process.stdout.readline() == "looking\n"
        process.send_signal(signal.SIGINT)
        time.sleep(1.5)  # longer than the server takes to see it
        path = f"/expectations?voice=0&layer={LAYER}"
        idle.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert process.wait(300) == 0 and "Traceback" not in process.stderr.read()  # a request may take 60 to be read
        thread.join()  # and it has its answer
        idle.close()
    finally:
        process.kill()
        process.wait()


def test_settings_are_checked_as_options_are():
    with pytest.raises(QweftError, match=r"^top p 2: a probability"):
        with_settings(ChatConfig(), {"top_p": 2})
