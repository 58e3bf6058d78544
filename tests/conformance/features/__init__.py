"""What a user does with `LoraConfig`, one check each; a check's name in the table is what it is registered by."""

from tests.conformance.features import (  # noqa: F401
    adapters,
    beside,
    exporting,
    generation,
    merging,
    numbers,
    quantized,
    saving,
    targets,
    training,
    transformers_side,
)
from tests.conformance.features.registry import FEATURES

__all__ = ["FEATURES"]
