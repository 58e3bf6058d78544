"""Private parts of PEFT, each with the reason why no public one suffices. Checked with PEFT 0.21.2.

PEFT's `BaseTuner` also has hooks with underscores that subclasses must override; they are in `adapter/model.py`.
"""

from typing import Any

from peft import PeftType
from peft.tuners.tuners_utils import _get_in_out_features
from torch import nn


def add_peft_type(name: str) -> Any:
    """Return the member of PEFT's enum of methods with this name and value; the first call creates it.

    PEFT cannot register methods of other packages. `register_peft_method` refuses names that are not in the enum, and
    plain strings break `get_model_status`, `load_adapter` and `delete_adapter`. So the enum in memory gets a real
    member, in the tables that Python 3.11 to 3.14 look members up in. PEFT's files are not changed.
    """
    existing: Any = PeftType.__members__.get(name)
    if existing is not None:
        return existing
    member: Any = str.__new__(PeftType, name)
    member._name_ = name
    member._value_ = name
    member.__objclass__ = PeftType
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    hashable: list[str] | None = getattr(PeftType, "_hashable_values_", None)  # where Python 3.13 looks values up
    if hashable is not None:
        hashable.append(name)
    type.__setattr__(PeftType, name, member)
    return member


def sizes_of(layer: nn.Module) -> tuple[int | None, int | None]:
    """Return the input and output size of a linear layer of any kind that PEFT knows; `None` for unknown sizes.

    Quantized and sharded layers store their sizes under other names, and only PEFT has the list.
    """
    into, out = _get_in_out_features(layer)
    return into, out
