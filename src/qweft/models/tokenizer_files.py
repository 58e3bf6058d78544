"""Checks of what a tokenizer's settings name: its class, and files. transformers takes both on trust."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name
from transformers.utils import cached_file

from qweft.errors import QweftError
from qweft.files import read_bytes
from qweft.models.causal import check_config
from qweft.models.resolve import ModelSource, is_within
from qweft.text import shown

SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
"""Files whose values become arguments of a tokenizer; it opens those that name a file."""
MOST_BYTES = 2**28
"""Largest of these files that is read; added tokens are listed in them."""
TEXTS = ("token", "tokens", "class", "side", "decoder", "template")
"""Last words of keys whose values are texts; a short one may happen to be the name of a file in the current folder."""
IGNORED = ("name_or_path", "special_tokens_map_file", "tokenizer_config_file")
"""Keys that transformers once wrote, and reads no more: they name places of the machine that saved the tokenizer."""
FETCHING = ("gguf_file", "cache_dir", "proxies")
"""Keys that decide what transformers reads or fetches for a tokenizer, and how."""
PLACES = (
    *FETCHING, "name_or_path", "is_local", "local_files_only", "subfolder", "revision", "repo_type", "token",
    "use_auth_token", "force_download", "user_agent",
)  # fmt: skip
"""These and those that transformers sets itself, which a special_tokens_map.json would replace."""


def check_settings(source: ModelSource) -> None:
    """Check that the settings of a tokenizer name a tokenizer's class, and no file outside of its folder.

    Raises:
        QweftError: They name such a file, or as `check_config`.
        ValueError: They name another class.
        OSError: A file cannot be read, or fetched.
    """
    check_config(source)
    config, _ = PretrainedConfig.get_config_dict(source.location, local_files_only=source.local)
    _check_class(config)
    for name in SETTINGS:
        path = cached_file(
            source.location, name, local_files_only=source.local, _raise_exceptions_for_missing_entries=False
        )
        settings = json.loads(read_bytes(Path(path), MOST_BYTES).decode("utf-8")) if path else None
        if not isinstance(settings, Mapping):
            continue
        _check_class(settings)
        # old files have their author's cache_dir, which nothing uses where the model is a folder
        refused = PLACES if name != SETTINGS[0] else FETCHING[:1] if source.local else FETCHING
        key = next((key for key in refused if settings.get(key) is not None), None)
        if key is not None:
            raise QweftError(
                f"model {source.name}: {key} in its {name} is {shown(settings[key])}, by which transformers would read "
                f"or fetch what is not this tokenizer's; take {key} out of {name}{'' if source.local else ' in a copy'}"
            )
        found = _file_elsewhere(settings, Path(source.location) if source.local else None)
        if found is not None:
            raise QweftError(
                f"model {source.name}: {found[0]} in its {name} is {shown(found[1])}, a file outside of its folder "
                f"that would be read as part of the tokenizer; take {found[0]} out of {name}"
            )


def _check_class(settings: Mapping[str, Any]) -> None:
    """Raise if settings name another class of transformers than a tokenizer's: it would load what it is made for."""
    name = settings.get("tokenizer_class")
    if name is None:
        return
    for each in (name, f"{name}Fast", str(name).removesuffix("Fast")):
        found = tokenizer_class_from_name(each)
        is_absent = found is None or getattr(found, "is_dummy", False)  # a dummy tells which package is missing
        if not is_absent and not (isinstance(found, type) and issubclass(found, PreTrainedTokenizerBase)):
            raise ValueError(f"tokenizer_class is {shown(name)}, which is no tokenizer")


def _file_elsewhere(settings: Mapping[str, Any], folder: Path | None) -> tuple[str, str] | None:
    """Return the first key and value that name a file outside of a folder, at any depth; `None` without one."""
    waiting: list[tuple[str, Any]] = [(key, value) for key, value in settings.items() if key not in IGNORED]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(key, each) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]
        elif isinstance(value, str) and _is_elsewhere(value, folder, is_text=key.rpartition("_")[2] in TEXTS):
            return key, value
    return None


def _is_elsewhere(name: str, folder: Path | None, is_text: bool) -> bool:
    if is_text and not os.path.isabs(name):
        return False
    # a tokenizer opens the name in the current folder; transformers looks for some of them in the model's
    places = [name] if folder is None else [name, os.path.join(folder, name)]
    return any(
        os.path.exists(place) and not os.path.isdir(place) and not is_within(Path(place), folder) for place in places
    )
