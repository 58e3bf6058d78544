"""Saving and sharing by PEFT's and transformers' calls: what is saved can be loaded, what is shared is private."""

from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from qweft.adapter.config import QwthnConfig
from qweft.adapter.wrapping import wrap


def complete_saving() -> None:
    """Wrap `save_pretrained` of PEFT's model and `push_to_hub` of PEFT's and transformers' models.

    For models without a QWTHN adapter they do what they did.
    """
    wrap(PeftModel, "save_pretrained", _save_pretrained)
    wrap(PeftModel, "push_to_hub", _push_to_hub)
    wrap(PreTrainedModel, "push_to_hub", _push_to_hub)


def _has_qwthn(model: Any) -> bool:
    configs = getattr(model, "peft_config", None)
    return isinstance(configs, dict) and any(isinstance(config, QwthnConfig) for config in configs.values())


def _save_pretrained(original: Any) -> Any:
    """Whoever asks for a pickle gets it, and beside it the file that loading reads."""

    def save_pretrained(self: Any, save_directory: str, safe_serialization: bool = True, *args: Any, **kw: Any) -> None:
        if not safe_serialization:
            original(self, save_directory, False, *args, **kw)
        if safe_serialization or _has_qwthn(self):
            original(self, save_directory, True, *args, **kw)

    return save_pretrained


def _push_to_hub(original: Any) -> Any:
    """A new repository is private where nothing is said of it."""

    def push_to_hub(self: Any, repo_id: str, *args: Any, **kw: Any) -> Any:
        if _has_qwthn(self) and kw.get("private") is None:
            kw["private"] = True
        return original(self, repo_id, *args, **kw)

    return push_to_hub
