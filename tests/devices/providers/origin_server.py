"""A stand-in for Origin's cloud, for pyqpanda3's own client: python origin_server.py PORT_FILE.

It answers as the client of pyqpanda3 0.5.1 takes it, and simulates the programs it gets. A process of its own: the
client holds the interpreter's lock while it waits. What it must do next stands in the file "mode" beside the port file.
"""

import http.server
import json
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1]).parent
TASKS: dict[str, dict] = {}


def simulated(program: str, shots: int) -> str:
    """Counts as the cloud writes them: hexadecimal outcomes beside numbers."""
    from pyqpanda3.core import CPUQVM
    from pyqpanda3.intermediate_compiler import convert_originir_string_to_qprog

    machine = CPUQVM()
    machine.run(convert_originir_string_to_qprog(program), shots)
    counts = machine.result().get_counts()
    return json.dumps({"key": [hex(int(bits, 2)) for bits in counts], "value": list(counts.values())})


class Cloud(http.server.BaseHTTPRequestHandler):
    """The three questions that are asked."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mode = (FOLDER / "mode").read_text("utf-8")
        key = self.headers["Authorization"].partition("=")[2]
        with (FOLDER / "log").open("a", encoding="utf-8") as log:
            log.write(json.dumps([self.path, asked]) + "\n")
        if mode.startswith("status "):
            self.answer(int(mode.split()[1]), {"message": f"refused for {key}"})
        elif mode.startswith("says "):
            self.answer(200, {"success": False, "code": 1, "message": mode[5:].replace("KEY", key)})
        elif mode == "nothing":
            self.answer(200, None)
        elif mode == "hang up":
            self.close_connection = True
        elif mode.startswith("sends "):
            self.answer(200, json.loads(mode[6:]))
        elif self.path.endswith("/submit.json"):
            name = f"task-{len(TASKS)}"
            TASKS[name] = asked
            self.answer(200, {"success": True, "obj": {"taskId": name}})
        elif self.path.endswith("/cancelTask.json"):
            self.answer(200, {"success": True, "obj": None})
        elif asked["taskId"] not in TASKS:
            self.answer(200, {"success": False, "code": 2, "message": "task not found"})
        else:
            self.answer(200, {"success": True, "obj": self.detail(asked["taskId"], mode)})

    def detail(self, name: str, mode: str) -> dict:
        """How a task stands: "state N", or finished."""
        found = {"taskId": name, "taskState": "3", "probCount": [], "taskResult": [], "errInfo": "qubit 7 is off"}
        if mode.startswith("state "):
            return found | {"taskState": mode[6:]}
        sent = TASKS[name]
        rows = [simulated(program, sent["Configuration"]["shot"]) for program in sent["QProg"]]
        return found | {"probCount": rows}

    def answer(self, status: int, content: object) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    Path(sys.argv[1]).write_text(str(server.server_port), "utf-8")
    server.serve_forever()
