"""The adapters that chat is tested with."""

from tests.chat.conftest import hybrid, lora, model  # noqa: F401
