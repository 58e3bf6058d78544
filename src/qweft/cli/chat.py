"""`qweft chat`."""

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.serve.checks import check_chat
from qweft.serve.config import ChatConfig

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
    config = ChatConfig(**options)
    model, folders = check_chat(folder, config, overrides)
    from qweft.serve.terminal import chat

    with call.printing():
        chat(model, folders, config, as_json="json" in call.flags)
