"""`qweft ui`."""

from collections.abc import Sequence

from qweft.chat.config import PageConfig
from qweft.cli.command import Command
from qweft.cli.parser import parse_folder

COMMAND = Command(
    name="ui",
    description="Talk with a trained adapter on a page in the browser, alone or beside its base model or another "
    "adapter, and see the circuit of any layer with its expectation values for the last tokens. The page is served on "
    "127.0.0.1 alone until Ctrl-C, loads nothing from elsewhere and sends nothing anywhere.",
    example="qweft ui runs/train/adapter --beside base",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` or PEFT wrote it.",
    options=PageConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments and serves the page."""
    folder, options, _ = parse_folder(PageConfig, argv, COMMAND)
    overrides = {"model": options.pop("model")} if "model" in options else {}
    from qweft.chat.checks import check_chat

    config = PageConfig(**options)
    check_chat(folder, config, overrides)
    from qweft.chat.page.server import serve

    def tell(address: str) -> None:
        print(f"page: {address} (Ctrl-C ends it)", flush=True)

    serve(folder, config, overrides, tell)
