"""`qweft push`."""

from dataclasses import dataclass

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show
from qweft.errors import QweftError


@dataclass(frozen=True)
class PushConfig:
    """Where an adapter is sent.

    Args:
        repository: OWNER/NAME on the hub, or NAME of your own; required.
        base_model: Hub id of the base model, if the adapter names a folder on this machine.
    """

    repository: str = ""
    base_model: str | None = None


COMMAND = Command(
    name="push",
    description="Upload an adapter to the hub, with its card, as a private repository: the adapter's files and "
    "nothing else. Log in first: hf auth login.",
    example="qweft push runs/train/adapter --repository me/my-adapter --base-model owner/base-model",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train`, `qweft export` or PEFT wrote it.",
    flags={"public": "Let everybody see the repository.", "dry-run": "Show what would be sent and stop."},
    shows_defaults=False,
    options=PushConfig,
)


def run(call: Call) -> None:
    """Check, upload and print the address."""
    folder, config = call.folder, PushConfig(**call.given())
    if not config.repository:
        raise QweftError("--repository: expected OWNER/NAME, the repository on the hub")
    from qweft.publish.push import plan_push, push

    planned = plan_push(folder, config.repository, "public" not in call.flags, config.base_model)
    show(planned.describe())
    if not call.is_dry:
        show(f"pushed: {push(planned)}")
