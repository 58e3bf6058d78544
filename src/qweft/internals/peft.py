"""Private parts of PEFT and transformers, each with the reason why no public one suffices.

PEFT's `BaseTuner` also has hooks with underscores that subclasses must override; they are in `adapter/model.py`.

Three functions are replaced in memory: PEFT and transformers have no hook before a pickle is written or opened, or
before weights of the base model are overwritten. Adapters of other methods go the original's way. Checked with PEFT
0.21.2 and transformers 5.23.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from peft import PeftModel, PeftType
from peft.tuners.tuners_utils import _get_in_out_features
from torch import nn
from transformers.integrations.peft import PeftAdapterMixin

HAS_ADAPTERS = "_hf_peft_config_loaded"
"""A model's flag that it has adapters. It is set before a load is tried, and no public function resets it."""
Make = Callable[[Any], Any]
"""Takes a function and returns its replacement."""


def add_peft_type(name: str) -> Any:
    """Return the member of PEFT's enum of methods with this name and value; the first call creates it.

    `register_peft_method` refuses names that are not in the enum, and plain strings break `get_model_status`. So the
    enum in memory gets a real member, in the tables that Python 3.11 to 3.14 look members up in.
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
    """Return the input and output size of a linear layer of any kind, also quantized; `None` for unknown sizes."""
    into, out = _get_in_out_features(layer)
    return into, out


def replace_functions(peft_load: Make, peft_save: Make, transformers_load: Make) -> None:
    """Replace `load_adapter` of PEFT's and transformers' models, and `save_pretrained` of PEFT's."""
    wrap(PeftModel, "load_adapter", peft_load)
    wrap(PeftModel, "save_pretrained", peft_save)
    wrap(PeftAdapterMixin, "load_adapter", transformers_load)


def wrap(owner: type, name: str, make: Make) -> None:
    """Replace a class's function by make(function)."""
    original = getattr(owner, name)
    setattr(owner, name, wraps(original)(make(original)))
