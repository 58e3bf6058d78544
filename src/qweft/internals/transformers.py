"""Private parts of transformers, each with the reason why no public one serves. Checked with transformers 5.23."""

from torch import nn

HAS_ADAPTERS = "_hf_peft_config_loaded"
"""A model's note that adapters are on it. It is set before a load is tried, and nothing public takes it back."""


def renames_keys(model: nn.Module) -> bool:
    """Whether the model's class has the keys of files renamed as they are read; PEFT asks for the same attribute."""
    return bool(getattr(model, "_checkpoint_conversion_mapping", None))
