"""Adapters that cannot take part in a comparison, told before anything is trained."""

from typing import Any

from peft import PeftConfig, PromptLearningConfig

from qweft.errors import QweftError

METHODS = {
    "ADAPTION_PROMPT": "PEFT cannot take it off a model again, and the runs of a comparison share one",
    "FROD": "it is made from the base model's weights, and a comparison counts each method on shapes alone",
    "MULTITASK_PROMPT_TUNING": "it needs a task number with each row",
    "POLY": "it needs a task number with each row",
    "SHADOW": "it adds a loss of its own to the training loss and a model of its own to the base model",
    "SHIRA": "which entries it trains is drawn on the base model's weights, and a comparison counts on shapes alone",
    "XLORA": "it mixes LoRA adapters that were trained before, and a comparison starts from none",
}
"""PEFT's other methods that are not compared, and why."""

PROMPT = (
    "it puts trained tokens before the text (prompt learning), which the held-out loss and the generation of a "
    "comparison do not reckon with"
)

STARTS = {
    "pissa": "it rewrites base weights, which the runs of a comparison share",
    "olora": "it rewrites base weights, which the runs of a comparison share",
    "loftq": "it rewrites base weights, which the runs of a comparison share",
    "lora_ga": "it needs gradients collected before, and rewrites base weights",
    "corda": "it needs activations collected before, and rewrites base weights",
    "eva": "it needs activations collected before, and is LoRA's usual start without them",
}
"""LoRA's starts that are not compared, and why."""


def check_comparable(config: PeftConfig) -> None:
    """Hold a config against the lists.

    Raises:
        QweftError: Naming the method and why it is not compared.
    """
    name = str(getattr(config.peft_type, "value", config.peft_type))
    reason = METHODS.get(name)
    if reason is None and isinstance(config, PromptLearningConfig):
        reason = PROMPT
    if reason is not None:
        raise QweftError(f"{name} cannot be compared: {reason}; leave it out")
    start: Any = getattr(config, "init_lora_weights", None)
    if isinstance(start, str):
        reason = next((why for known, why in STARTS.items() if start.startswith(known)), None)
        if reason is not None:
            raise QweftError(
                f"init_lora_weights {start!r} cannot be compared: {reason}; leave it out, or choose gaussian or "
                "orthogonal"
            )
    if getattr(config, "modules_to_save", None):
        raise QweftError(
            f"modules_to_save {sorted(config.modules_to_save)} trains modules of the base model, which the runs of a "  # type: ignore[attr-defined]
            "comparison share; leave it out"
        )
