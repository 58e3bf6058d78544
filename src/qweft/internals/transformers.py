"""Private parts of transformers, each with the reason why no public one suffices. Checked with transformers 5.23."""

from torch import nn

HAS_ADAPTERS = "_hf_peft_config_loaded"
"""A model's flag that it has adapters. It is set before a load is tried, and no public function resets it."""


def renames_keys(model: nn.Module) -> bool:
    """Whether the model's class renames the keys of files as they are read; PEFT checks the same attribute."""
    return bool(getattr(model, "_checkpoint_conversion_mapping", None))
