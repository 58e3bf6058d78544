"""Upload of an adapter's files to the hub, private by default."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants
from yaml import YAMLError

from qweft.core.errors import QweftError
from qweft.core.records import read_json
from qweft.method.saved import CONFIG, WEIGHTS, check_folder
from qweft.models.hub import HUB_ID

REQUIRED = (CONFIG, WEIGHTS)
OPTIONAL = ("README.md", "export.json")
BASE, TOKENIZER = "base_model_name_or_path", "tokenizer_name_or_path"
TEXTS = ("prompt_tuning_init_text",)
"""Fields that hold a user's words, which may begin with a slash."""
PATH = re.compile(r'"((?:/|~|\.\.?/)[^"]*)"')
"""A text of a config in JSON that is a path."""


@dataclass(frozen=True)
class Push:
    """A planned upload."""

    folder: Path  # of the adapter
    repository: str  # OWNER/NAME, or NAME in your own account
    private: bool  # whether only its owner sees the repository
    contents: Mapping[str, bytes | Path]  # what is sent, by the name of each file
    base_model: str  # hub id for the uploaded config

    def describe(self) -> str:
        """Describe the upload in one line for the terminal."""
        seen = "private" if self.private else "public"
        return (
            f"{', '.join(self.contents)} of {self.folder} to {self.repository} ({seen}), base model {self.base_model}"
        )


def plan_push(folder: Path, repository: str, private: bool = True, base_model: str | None = None) -> Push:
    """Plan an upload of an adapter's folder and check it offline; `base_model` is by default the config's hub id."""
    check_folder(folder)
    for what, name in (("repository", repository), ("base_model", base_model or "unnamed")):
        if not HUB_ID.fullmatch(name):
            raise QweftError(f"{what} {name!r} is no hub id, as OWNER/NAME")
    files = REQUIRED + tuple(name for name in OPTIONAL if (folder / name).is_file())
    for name in files:
        if (folder / name).is_symlink():
            raise QweftError(f"{folder / name} is a link, and a push sends only files of the folder; put a copy there")
    config = read_json(folder / CONFIG, "save the adapter again")
    own = config.get(BASE)
    named = base_model or (own if isinstance(own, str) and not Path(own).exists() else None)
    # an existing path counts as a local folder even if it could be a hub id: never publish a local path
    if not named or not HUB_ID.fullmatch(named):
        raise QweftError(
            f"{folder}: its adapter_config.json names {own or 'no base model'}, which nobody else can load; give the "
            "base model's hub id with --base-model"
        )
    public = for_the_hub(config, named)
    if path := PATH.search(json.dumps({key: value for key, value in public.items() if key not in TEXTS})):
        raise QweftError(
            f"{folder / CONFIG} names {path[1]}, a path of this machine that would be sent; name a hub id there, or "
            "remove it"
        )
    contents: dict[str, bytes | Path] = {name: folder / name for name in files}
    contents[CONFIG] = json.dumps(public, indent=2).encode()
    if "README.md" in contents:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
        contents["README.md"] = renamed(text, str(own or ""), named).encode()
    return Push(folder, repository, private, contents, named)


def for_the_hub(config: Mapping[str, Any], base_model: str) -> dict[str, Any]:
    """Return an adapter's config with the hub id of its base model; prompt tuning names that as its tokenizer, too."""
    is_tokenizer = config.get(TOKENIZER) is not None and config.get(TOKENIZER) == config.get(BASE)
    return {**config, BASE: base_model, **({TOKENIZER: base_model} if is_tokenizer else {})}


def push(wanted: Push) -> str:
    """Create the repository if needed, upload the files in one commit, and return its URL."""
    if constants.HF_HUB_OFFLINE:
        raise QweftError("HF_HUB_OFFLINE is set, so nothing is sent; unset it to push")
    operations = [CommitOperationAdd(name, content) for name, content in wanted.contents.items()]
    api: Any = HfApi()
    try:
        made = api.create_repo(wanted.repository, private=wanted.private, exist_ok=True)
        if wanted.private and api.model_info(made.repo_id).private is False:
            raise QweftError(
                f"{made.repo_id} exists and is public; make it private there, choose another name, or say --public"
            )
        api.create_commit(made.repo_id, operations, commit_message="Upload adapter with qweft")
    except Exception as error:
        # the hub client has replaced its HTTP library twice, and their errors have no common base class
        if not isinstance(error, OSError) and not type(error).__module__.startswith(("httpx", "requests")):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise QweftError(
            f"the hub did not take {wanted.repository} ({reason}); check the connection, the name, and that you are "
            "logged in by hf auth login with a token that may write there"
        ) from error
    return str(made)


def renamed(text: str, named: str, public: str) -> str:
    """Return a card with the public name of its base model: in the front matter, and in place of a path anywhere."""
    if "/" in named or os.sep in named:
        text = text.replace(named, public)
    with suppress(ValueError, YAMLError):  # of a malformed front matter
        card = ModelCard(text, ignore_metadata_errors=True)
        card.data["base_model"] = public
        card.data["tags"] = [tag for tag in card.data.get("tags") or [] if tag != f"base_model:adapter:{named}"] or None
        return str(card)
    return text
