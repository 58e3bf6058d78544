"""The name QWTHN among PEFT's methods."""

from typing import Any

from qweft.internals.peft import add_peft_type


def peft_type() -> Any:
    """The member `PeftType.QWTHN`, made on the first call."""
    return add_peft_type("QWTHN")
