"""Serves trained adapters, with their circuits, to clients of OpenAI's interface, and a chat page."""

from typing import Any

from qweft.errors import QweftError


def server() -> Any:
    """Import and return the module of the server."""
    try:
        import qweft.serve.run as run
    except ImportError as error:
        raise QweftError(f"the installed transformers has another server ({error}); install 5.23") from error
    return run
