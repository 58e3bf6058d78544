"""`qweft chat`."""

from qweft.chat.config import ChatConfig
from qweft.cli.command import Command
from qweft.cli.parser import Call

COMMAND = Command(
    name="chat",
    description="Talk with a trained adapter in the terminal, alone or beside its base model or another adapter; /help "
    "there says what else can be typed. Without a terminal each line of standard input is a question, and the answers "
    "go to standard output.",
    example="qweft chat runs/train/adapter --beside base",
    target="ADAPTER",
    flags={"json": "Print a JSON object a question, with all answers, and nothing else, on standard output."},
    options=ChatConfig,
)


def run(call: Call) -> None:
    """Chat."""
    folder, (options, overrides) = call.folder, call.apart("model")
    from qweft.chat.checks import check_chat

    config = ChatConfig(**options)
    check_chat(folder, config, overrides)
    from qweft.chat.loop import chat

    with call.printing():
        chat(folder, config, overrides, as_json="json" in call.flags)
