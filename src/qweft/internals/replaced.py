"""The functions of PEFT and transformers that are replaced in memory, for everyone, and why each has to be.

PEFT and transformers have no hook before a pickle is opened, before weights of the base model are overwritten, or
before a repository is made. Each replacement calls the original, and for models without a QWTHN adapter does nothing
more. Checked with PEFT 0.21.2 and transformers 5.23.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel
from transformers.utils import PushToHubMixin

Make = Callable[[Any], Any]
"""From a function to the one in its place."""
WRAPPED = "_qwthn_wrapped"


def replace_peft_loading(from_pretrained: Make, load_adapter: Make) -> None:
    """`PeftModel`: `AutoPeftModel` goes through the first, and the first through the second.

    Only the first sees the base model before the adapter changes it, so that a failed load leaves no trace. Only the
    second sees a file that is loaded on a model with adapters.
    """
    wrap(PeftModel, "from_pretrained", from_pretrained)
    wrap(PeftModel, "load_adapter", load_adapter)


def replace_transformers_loading(load_adapter: Make) -> None:
    """For models of transformers, which read adapters themselves; their `from_pretrained` goes through this, too."""
    from transformers.integrations.peft import PeftAdapterMixin  # once it has been imported, and no earlier

    wrap(PeftAdapterMixin, "load_adapter", load_adapter)


def replace_saving(peft: Make, transformers: Make, push_to_hub: Make) -> None:
    """Saving on disk and to the hub.

    PEFT saves a pickle on request, which no load of ours reads, and writes the card before the weights that it is to
    speak of. transformers' `save_pretrained` can make a repository by itself. `push_to_hub` of both is one function.
    """
    wrap(PeftModel, "save_pretrained", peft)
    wrap(PreTrainedModel, "save_pretrained", transformers)
    wrap(PushToHubMixin, "push_to_hub", push_to_hub)


def wrap(owner: type, name: str, make: Make) -> None:
    """Put make(function) in the place of a class's function; calling this again changes nothing."""
    present = inspect.getattr_static(owner, name)
    original = present.__func__ if isinstance(present, classmethod) else present
    if getattr(original, WRAPPED, False):
        return
    wrapper = wraps(original)(make(original))
    setattr(wrapper, WRAPPED, True)
    setattr(owner, name, classmethod(wrapper) if isinstance(present, classmethod) else wrapper)
