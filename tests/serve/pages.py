"""The page of `qweft ui` on a port of its own, and a client of it."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import uvicorn

from qweft.serve.app import Server, page_application
from qweft.serve.checks import check_chat
from qweft.serve.config import PageConfig

COMPLETIONS = "/v1/chat/completions"


class Client:
    def __init__(self, port, token):
        self.port, self.token, self.address = port, token, f"http://127.0.0.1:{port}/?token={token}"

    def ask(self, path, body=None, **headers):
        """Status, headers, text."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"} | headers
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def look(self, path):
        return json.loads(self.ask(path)[2])

    def say(self, model, question, **settings):
        messages = [{"role": "user", "content": question}]
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 6, **settings}
        return json.loads(self.ask(COMPLETIONS, body)[2])["choices"][0]["message"]["content"]


@contextmanager
def served_page(adapter, **options):
    """A client of a page on its own port."""
    config = PageConfig(**options)
    app, token = page_application(*check_chat(adapter, config, {}), config)
    with served(app) as port:
        yield Client(port, token)


@contextmanager
def served(app):
    """The port of an application that a thread serves."""
    server = Server(uvicorn.Config(app, log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)
