"""The functions of PEFT and transformers that are replaced in memory, and the reason for each.

PEFT and transformers have no hook before a pickle is opened, before weights of the base model are overwritten, or
before a repository is created. Each replacement calls the original, and does nothing else for models without a QWTHN
adapter. Checked with PEFT 0.21.2 and transformers 5.23.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel
from transformers.utils import PushToHubMixin

Make = Callable[[Any], Any]
"""Takes a function and returns its replacement."""
WRAPPED = "_qwthn_wrapped"


def replace_peft_loading(from_pretrained: Make, load_adapter: Make) -> None:
    """Replace two functions of `PeftModel`: `AutoPeftModel` calls the first, and the first calls the second.

    Only the first sees the base model before the adapter changes it, so that a failed load can be undone. Only the
    second sees a file that is loaded on a model with adapters.
    """
    wrap(PeftModel, "from_pretrained", from_pretrained)
    wrap(PeftModel, "load_adapter", load_adapter)


def replace_transformers_loading(load_adapter: Make) -> None:
    """Replace `load_adapter` of transformers' models, which read adapters themselves in `from_pretrained`, too."""
    from transformers.integrations.peft import PeftAdapterMixin  # only after transformers has imported it

    wrap(PeftAdapterMixin, "load_adapter", load_adapter)


def replace_saving(peft: Make, transformers: Make, push_to_hub: Make) -> None:
    """Replace the calls that save to disk and to the hub.

    PEFT saves a pickle on request, which our loading does not read, and writes the card before the weights that it
    describes. transformers' `save_pretrained` can create a repository. PEFT and transformers share one `push_to_hub`.
    """
    wrap(PeftModel, "save_pretrained", peft)
    wrap(PreTrainedModel, "save_pretrained", transformers)
    wrap(PushToHubMixin, "push_to_hub", push_to_hub)


def wrap(owner: type, name: str, make: Make) -> None:
    """Replace a class's function by make(function); calling this again changes nothing."""
    present = inspect.getattr_static(owner, name)
    original = present.__func__ if isinstance(present, classmethod) else present
    if getattr(original, WRAPPED, False):
        return
    wrapper = wraps(original)(make(original))
    setattr(wrapper, WRAPPED, True)
    setattr(owner, name, classmethod(wrapper) if isinstance(present, classmethod) else wrapper)
