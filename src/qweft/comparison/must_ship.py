"""`--must-ship`: methods that do not leave Python in the format that a user needs are left out before any training."""

from collections.abc import Callable
from dataclasses import replace

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.starter import config_of_model
from qweft.errors import QweftError
from qweft.exporting.config import check_gguf_type
from qweft.method.shipping import why_no_lora, why_not_merged

NEEDS = {"lora": why_no_lora, "gguf": why_not_merged, "merged": why_not_merged}
"""Why an adapter does not ship so; a merged model goes into GGUF as well as a LoRA does."""


def that_ship(config: ComparisonConfig, tell: Callable[[str], object]) -> ComparisonConfig:
    """Return a comparison without the methods that do not ship as asked for, each of which is told."""
    if config.must_ship is None:
        return config
    kind = config_of_model(config.model).get("model_type")
    if config.must_ship == "gguf" and kind is not None:
        check_gguf_type(kind)
    reasons = {name: NEEDS[config.must_ship](method.adapter) for name, method in config.methods.items()}
    for name, reason in reasons.items():
        if reason:
            tell(f"left out, as it does not ship as {config.must_ship}: {name}, since {reason}")
    if reasons.get(config.reference):
        raise QweftError(f"reference {config.reference} does not ship as {config.must_ship}; name another reference")
    return replace(config, methods={name: each for name, each in config.methods.items() if not reasons[name]})
