"""`qweft chat`."""

from collections.abc import Sequence

from qweft.chat.config import ChatConfig
from qweft.cli.command import Command
from qweft.cli.parser import parse_folder

COMMAND = Command(
    name="chat",
    description="Talk with a trained adapter in the terminal, alone or beside its base model or another adapter; /help "
    "there says what else can be typed. Without a terminal each line of standard input is a question, and the answers "
    "go to standard output.",
    example="qweft chat runs/train/adapter --beside base",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` or PEFT wrote it.",
    flags={"json": "Print a JSON object a question, with all answers, and nothing else, on standard output."},
    options=ChatConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments and chats."""
    folder, options, flags = parse_folder(ChatConfig, argv, COMMAND)
    overrides = {"model": options.pop("model")} if "model" in options else {}
    from qweft.chat.checks import check_chat

    config = ChatConfig(**options)
    check_chat(folder, config, overrides)
    from qweft.chat.loop import chat

    chat(folder, config, overrides, as_json="json" in flags)
