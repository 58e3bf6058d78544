"""A hub on this machine, as far as a push asks one: it keeps what it is sent."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeHub:
    """Serves until closed.

    Args:
        public: Repositories that exist already, for everybody to see.
        refuses: Whether every request is refused.
    """

    def __init__(self, public: tuple[str, ...] = (), refuses: bool = False) -> None:
        self.repositories: dict[str, bool] = dict.fromkeys(public, False)  # name to private
        self.files: dict[str, bytes] = {}
        self.commits: list[str] = []
        self.refuses = refuses
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def answer(self, status: int, record: Any) -> None:
                content = json.dumps(record).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                if self.path.startswith("/api/whoami"):
                    self.answer(200, {"name": "me", "type": "user", "orgs": []})
                    return
                name = self.path.removeprefix("/api/models/").split("/revision/")[0]
                if name not in hub.repositories:
                    self.answer(404, {"error": "no such repository"})
                    return
                self.answer(200, {"id": name, "private": hub.repositories[name], "siblings": [], "sha": "0" * 40})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if hub.refuses:
                    self.answer(403, {"error": "you may not"})
                elif self.path == "/api/repos/create":
                    self.create(json.loads(body))
                elif "/preupload/" in self.path:
                    files = json.loads(body)["files"]
                    plain = {"uploadMode": "regular", "shouldIgnore": False}
                    self.answer(200, {"files": [{"path": file["path"], **plain} for file in files]})
                elif "/commit/" in self.path:
                    self.commit(body)
                else:  # the check of a card's front matter
                    self.answer(200, {"errors": [], "warnings": []})

            def create(self, asked: dict[str, Any]) -> None:
                name = f"{asked.get('organization') or 'me'}/{asked['name']}"
                if name in hub.repositories:
                    self.answer(409, {"error": "it exists", "url": f"{hub.address}/{name}"})
                    return
                # hub clients before 2.0 say `private`, later ones `visibility`
                hub.repositories[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
                self.answer(200, {"url": f"{hub.address}/{name}", "name": name, "id": name})

            def commit(self, body: bytes) -> None:
                lines = [json.loads(line) for line in body.splitlines() if line]
                for line in lines:
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                hub.commits.append(lines[0]["value"]["summary"])
                self.answer(
                    200,
                    {"commitUrl": f"{hub.address}/me/mine/commit/{'1' * 40}", "commitOid": "1" * 40, "success": True},
                )

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
