"""Saving and sharing by PEFT's and transformers' calls: what is saved can be loaded, what is shared is private."""

from pathlib import Path
from typing import Any

from peft.utils import SAFETENSORS_WEIGHTS_NAME

from qweft.adapter.card import refresh_card
from qweft.adapter.config import QwthnConfig
from qweft.internals.replaced import replace_saving


def complete_saving() -> None:
    """From now on, in `save_pretrained` and `push_to_hub` of PEFT's and transformers' models.

    For models without a QWTHN adapter they do what they did.
    """
    replace_saving(_peft_save_pretrained, _transformers_save_pretrained, _push_to_hub)


def _qwthn_configs(model: Any) -> dict[str, QwthnConfig]:
    configs = getattr(model, "peft_config", None)
    found = configs.items() if isinstance(configs, dict) else ()
    return {name: config for name, config in found if isinstance(config, QwthnConfig)}


def _peft_save_pretrained(original: Any) -> Any:
    """Whoever asks for a pickle gets it, and beside it the file that loading reads; the card says what was saved."""

    def save_pretrained(self: Any, save_directory: str, safe_serialization: bool = True, *args: Any, **kw: Any) -> None:
        configs = _qwthn_configs(self)
        if not safe_serialization:
            original(self, save_directory, False, *args, **kw)
        if safe_serialization or configs:
            original(self, save_directory, True, *args, **kw)
        root = Path(save_directory)
        folders = {name: root if name == "default" else root / name for name in configs}
        _refresh(root, {name: (folder, configs[name]) for name, folder in folders.items()})

    return save_pretrained


def _transformers_save_pretrained(original: Any) -> Any:
    """The card, where one is there, is of this save; and what is pushed along goes to a private repository."""

    def save_pretrained(self: Any, save_directory: Any, *args: Any, **kw: Any) -> Any:
        configs = _qwthn_configs(self)
        if configs and kw.get("push_to_hub") and kw.get("private") is None:
            kw["private"] = True
        saved = original(self, save_directory, *args, **kw)
        for name in self.active_adapters() if configs else ():
            if name in configs:  # transformers saves one adapter, without its name
                _refresh(Path(save_directory), {"default": (Path(save_directory), configs[name])})
        return saved

    return save_pretrained


def _refresh(root: Path, adapters: dict[str, tuple[Path, QwthnConfig]]) -> None:
    """Of adapters that were not saved this time, or are saved by another process, there is no file to speak of."""
    there = {name: found for name, found in adapters.items() if (found[0] / SAFETENSORS_WEIGHTS_NAME).is_file()}
    if there:
        refresh_card(root / "README.md", there)


def _push_to_hub(original: Any) -> Any:
    """A new repository is private where nothing is said of it."""

    def push_to_hub(self: Any, repo_id: str, *args: Any, **kw: Any) -> Any:
        if _qwthn_configs(self) and kw.get("private") is None:
            kw["private"] = True
        return original(self, repo_id, *args, **kw)

    return push_to_hub
