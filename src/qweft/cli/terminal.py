"""What commands print: results on standard output, sentences about errors on standard error."""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

from qweft.files import finite


def show(renderable: Any) -> None:
    """Print text or anything that rich can render; brackets are brackets: names, paths, providers' words have some."""
    from rich.console import Console

    Console(markup=False, emoji=False).print(renderable)


def width() -> int:
    """Columns of the terminal."""
    from rich.console import Console

    return Console().width


def print_json(value: Any) -> None:
    """Print one JSON value on standard output; numbers that are not finite become null, as JSON has none."""
    print(json.dumps(finite(value), indent=2, ensure_ascii=False))


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Send what a library prints meanwhile to standard error, so that standard output holds only the JSON.

    Args:
        wanted: Whether the user asked for JSON; otherwise nothing changes.
    """
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield


def hush_libraries() -> None:
    """Keep what quantization libraries say of themselves, whenever PEFT finds them installed, off the terminal."""
    for name in ("bitsandbytes", "torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def complain(sentence: str) -> None:
    """Print a sentence on standard error."""
    print(f"qweft: {sentence}", file=sys.stderr)
