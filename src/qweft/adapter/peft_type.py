"""The name QWTHN among PEFT's methods.

PEFT has no way in for methods from outside: `register_peft_method` refuses names that are not in its `PeftType` enum,
and plain strings in their place break `get_model_status`, `load_adapter` and `delete_adapter`. So the enum in memory
gets a real member; PEFT's files stay as they are.
"""

from typing import Any

from peft import PeftType

NAME = "QWTHN"


def peft_type() -> PeftType:
    """The member `PeftType.QWTHN`, made on the first call."""
    existing: Any = PeftType.__members__.get(NAME)
    if existing is not None:
        return existing
    member: Any = str.__new__(PeftType, NAME)
    member._name_ = NAME
    member._value_ = NAME
    member._sort_order_ = len(PeftType.__members__)
    member.__objclass__ = PeftType
    PeftType._member_names_.append(NAME)
    PeftType._member_map_[NAME] = member
    PeftType._value2member_map_[NAME] = member
    hashable: list[str] | None = getattr(PeftType, "_hashable_values_", None)  # where Python 3.13 looks values up
    if hashable is not None:
        hashable.append(NAME)
    type.__setattr__(PeftType, NAME, member)
    return member
