"""How an adapter of each method leaves Python: as a LoRA, merged into the weights, or not at all."""

from collections.abc import Mapping
from typing import Any, Literal

from qweft.method.peft_methods import OWN

Ships = Literal["lora", "merged", "python"]
"""As a LoRA (and so merged, too), merged alone, or with PEFT in Python alone."""
SAID: Mapping[Ships, str] = {"lora": "LoRA file", "merged": "merged only", "python": "Python only"}

PYTHON_ONLY = {
    **dict.fromkeys(
        ("ADAPTION_PROMPT", "CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING",
         "PROMPT_TUNING"),
        "it reads more than the text's own tokens",
    ),
    **dict.fromkeys(("LILY", "POLY", "XLORA"), "its weights depend on its input"),
    "SHADOW": "it runs a second model beside the first",
}  # fmt: skip
"""Methods that no weight equals, and why."""
MERGED_ONLY = {
    **dict.fromkeys(("IA3", "LN_TUNING"), "it scales what a layer puts out"),
    **dict.fromkeys(("BOFT", "HRA", "OFT", "ROAD"), "it rotates the weights, which changes them in every direction"),
    **dict.fromkeys(("BEFT", "GLORA"), "it trains biases"),
    "OSF": "it trains the whole of each weight",
    "TRAINABLE_TOKENS": "it trains rows of the embedding",
}
"""Methods that no LoRA is near, and why."""
VARIANTS = {
    "use_qalora": "QA-LoRA pools its input",
    "alora_invocation_tokens": "an activated LoRA begins at some of the tokens",
    "arrow_config": "a router chooses among its parts",
}
"""Fields of LoRA's config with which its weights do not merge, and why."""
MORE_THAN_LORA = (
    "use_dora", "use_bdlora", "velora_config", "kasa_config", "monteclora_config", "target_parameters",
    "layer_replication", "trainable_token_indices",
)  # fmt: skip
"""Fields of LoRA's config that make more of it than y = W0 x + B A x on linear layers."""


def method_name(adapter: Mapping[str, Any]) -> str:
    """Return PEFT's name of a method, from a specification or a saved config."""
    return str(adapter.get("peft_type") or OWN).upper()


def why_not_merged(adapter: Mapping[str, Any]) -> str | None:
    """Return why no weights equal an adapter; `None` if some do."""
    method = method_name(adapter)
    if method != "LORA":
        return PYTHON_ONLY.get(method)
    return next((why for field, why in VARIANTS.items() if adapter.get(field)), None)


def why_no_lora(adapter: Mapping[str, Any]) -> str | None:
    """Return why no LoRA is near an adapter; `None` if one may be."""
    if adapter.get("trainable_token_indices"):
        return MERGED_ONLY["TRAINABLE_TOKENS"]
    if adapter.get("bias", "none") != "none" or adapter.get("lora_bias"):
        return "it trains biases"
    return why_not_merged(adapter) or MERGED_ONLY.get(method_name(adapter))


def is_plain_lora(adapter: Mapping[str, Any]) -> bool:
    """Whether an adapter is PEFT's LoRA and nothing more."""
    more = any(adapter.get(field) for field in MORE_THAN_LORA)
    return method_name(adapter) == "LORA" and not more and why_no_lora(adapter) is None


def ships(adapter: Mapping[str, Any]) -> Ships:
    """Return how an adapter leaves Python."""
    if why_not_merged(adapter):
        return "python"
    return "merged" if why_no_lora(adapter) else "lora"
