"""`qweft ui`: the voices opened, and the page served until Ctrl-C."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qweft.chat.config import PageConfig
from qweft.chat.page.server import Server
from qweft.chat.page.session import Session
from qweft.chat.voices import open_voices


def serve(adapter: Path, config: PageConfig, overrides: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Serve the page on this machine until Ctrl-C.

    Args:
        adapter: The adapter's folder.
        config: Who answers, how, and on which port.
        overrides: Keys of the section model that differ from the run that trained the adapter.
        tell: Is told the address, once the page is there.

    Raises:
        QweftError: If the port cannot be had, or the voices cannot be opened.
    """
    config.check()
    with Server(config.port) as server:
        server.session = Session(open_voices(adapter, config, overrides), config)
        tell(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.session.end()
            server.wait()
