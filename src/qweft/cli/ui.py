"""`qweft ui`."""

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.serve.checks import check_chat, server
from qweft.serve.config import PageConfig

COMMAND = Command(
    name="ui",
    description="Talk with a trained adapter on a page in the browser, alone or beside its base model or another "
    "adapter, and see the circuit of any layer with its expectation values for the last tokens. The page is served on "
    "127.0.0.1 alone until Ctrl-C, loads nothing from elsewhere and sends nothing anywhere.",
    example="qweft ui runs/train/adapter --beside base",
    target="ADAPTER",
    options=PageConfig,
)


def run(call: Call) -> None:
    """Serve the page."""
    folder, (options, overrides) = call.folder, call.apart("model")
    config = PageConfig(**options)
    model, folders = check_chat(folder, config, overrides)
    server().serve_page(model, folders, config, lambda address: print(f"page: {address} (Ctrl-C ends it)", flush=True))
