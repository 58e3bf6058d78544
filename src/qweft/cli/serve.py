"""`qweft serve`."""

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.serve.checks import check_adapters, server
from qweft.serve.config import ServeConfig

COMMAND = Command(
    name="serve",
    description="Serve trained adapters, with their circuits, to clients of OpenAI's interface: chat and text "
    "completions, streamed or not, each adapter as a model of its own name, and their base model as base. It is "
    "transformers' own server, listens on 127.0.0.1 alone unless --host says otherwise, and has no password.",
    example="qweft serve runs/train/adapter second=runs/chat/adapter --port 8000",
    target="ADAPTER...",
    target_help="Folders of adapters of one base model, each as FOLDER or NAME=FOLDER.",
    options=ServeConfig,
)


def run(call: Call) -> None:
    """Serve."""
    options, overrides = call.apart("model")
    config = ServeConfig(**options)
    model, folders = check_adapters(call.targets, overrides)

    def tell(address: str) -> None:
        print(f"serving {', '.join(folders)} and base at {address} (Ctrl-C ends it)", flush=True)

    server().serve(model, folders, config, tell)
