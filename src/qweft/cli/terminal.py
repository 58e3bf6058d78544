"""Output of commands: results on standard output, errors on standard error."""

import logging
import sys
from pathlib import Path
from typing import Any

from qweft.core.files import finite
from qweft.core.redaction import without_secrets
from qweft.core.text import json_text, strip_controls


def show(renderable: Any) -> None:
    """Print text or anything that rich can render."""
    from qweft.core.output import Console

    Console().print(renderable)


def show_adapter(folder: Path) -> None:
    """Show where an adapter is, and the commands that use it."""
    from qweft.comparison.winner import commands_for

    show("\n".join([f"adapter: {folder}", *commands_for(folder)]))


def print_json(value: Any) -> None:
    """Print one JSON value on standard output; NaN and infinity become null, as JSON has neither."""
    print(json_text(finite(value), indent=2))


def hush_libraries() -> None:
    """Silence the warnings of quantization libraries, which appear whenever PEFT finds them installed."""
    for name in ("bitsandbytes", "torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def complain(sentence: str) -> None:
    """Print a sentence on standard error, without credentials: errors of other packages may repeat some."""
    print(strip_controls(f"qweft: {without_secrets(sentence)}"), file=sys.stderr)
