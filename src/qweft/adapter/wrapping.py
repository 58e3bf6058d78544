"""A function of a class in PEFT or transformers, wrapped in memory where it has no hook for methods from outside."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

WRAPPED = "_qwthn_wrapped"


def wrap(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Put make(function) in the place of a class's function; calling this again changes nothing."""
    present = inspect.getattr_static(owner, name)
    original = present.__func__ if isinstance(present, classmethod) else present
    if getattr(original, WRAPPED, False):
        return
    wrapper = wraps(original)(make(original))
    setattr(wrapper, WRAPPED, True)
    setattr(owner, name, classmethod(wrapper) if isinstance(present, classmethod) else wrapper)
