"""Upload of an adapter's files to the hub, private by default."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id
from yaml import YAMLError

from qweft.errors import QweftError
from qweft.method.saved import CONFIG, WEIGHTS, check_folder
from qweft.records import read_json
from qweft.text import escaped, shown

REQUIRED = (CONFIG, WEIGHTS)
OPTIONAL = ("README.md", "export.json")
BASE, TOKENIZER = "base_model_name_or_path", "tokenizer_name_or_path"
TEXTS = ("prompt_tuning_init_text",)
"""Fields that hold a user's words, which may begin with a slash."""


@dataclass(frozen=True)
class Push:
    """A planned upload.

    Args:
        folder: The adapter's folder.
        repository: OWNER/NAME, or NAME in your own account.
        private: Whether only its owner sees the repository.
        files: Names of the files to upload.
        base_model: Hub id of the base model for the uploaded config.
    """

    folder: Path
    repository: str
    private: bool
    files: tuple[str, ...]
    base_model: str

    def describe(self) -> str:
        """Describe the upload in one line for the terminal."""
        seen = "private" if self.private else "public"
        return f"{', '.join(self.files)} of {self.folder} to {self.repository} ({seen}), base model {self.base_model}"


def plan_push(folder: Path, repository: str, private: bool = True, base_model: str | None = None) -> Push:
    """Plan an upload and check it offline.

    Args:
        folder: Folder of an adapter from `qweft train`, `qweft export` or PEFT.
        repository: OWNER/NAME, or NAME in your own account.
        private: Whether only you see the repository.
        base_model: Hub id of the base model; `None` takes it from the adapter's config, unless that names a local
            folder.

    Raises:
        QweftError: If the folder holds no adapter, a file in it is a link, a name is not a hub id, its config names
            another path of this machine, or the base model is a local folder or unknown.
    """
    check_folder(folder)
    for what, name in (("repository", repository), ("base_model", base_model or "unnamed")):
        if not _is_hub_id(name):
            raise QweftError(f"{what} {name!r} is no hub id, as OWNER/NAME")
    config = read_json(folder / REQUIRED[0], "save the adapter again")
    own = config.get(BASE)
    if not isinstance(own, str | None):
        raise QweftError(f"{folder / REQUIRED[0]}: base_model_name_or_path is no text; save the adapter again")
    named = base_model or own
    # an existing path counts as a local folder even if it could be a hub id: never publish a local path
    if not named or not _is_hub_id(named) or (base_model is None and Path(named).exists()):
        raise QweftError(
            f"{folder}: its adapter_config.json names {named or 'no base model'}, which nobody else can load; give the "
            "base model's hub id with --base-model"
        )
    _check_paths(folder / REQUIRED[0], config, own)
    for name in REQUIRED + OPTIONAL:
        if (folder / name).is_symlink():
            raise QweftError(
                f"{folder / name} is a link to {(folder / name).resolve()}, and a push sends only files of the folder "
                "itself; put a copy in its place"
            )
    files = REQUIRED + tuple(name for name in OPTIONAL if (folder / name).is_file())
    return Push(folder, repository, private, files, named)


def _check_paths(file: Path, config: dict[str, Any], base_model: str | None) -> None:
    """Check that an adapter's config names no path of this machine but that of the base model, which is replaced."""
    waiting = [(name, value) for name, value in config.items() if name not in (BASE, *TEXTS)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif isinstance(value, str) and _is_path(value) and (name, value) != (TOKENIZER, base_model):
            raise QweftError(
                f"{file}: {name} names {shown(value)}, a path of this machine that would be sent; name a hub id there, "
                "or remove it"
            )


def _is_path(text: str) -> bool:
    is_one = Path(text).is_absolute() or text.startswith(("~", "./", "../"))
    return is_one or (("/" in text or os.sep in text) and os.path.exists(text))


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not name.startswith((".", "~", "/"))


def push(wanted: Push, token: str | None = None) -> str:
    """Create the repository if it does not exist, and upload the files in one commit.

    Args:
        wanted: The upload, from `plan_push`.
        token: Access token; `None` means that of `hf auth login` or HF_TOKEN.

    Returns:
        URL of the repository.

    Raises:
        QweftError: If there is no connection or token, HF_HUB_OFFLINE is set, the hub refuses the upload, or a private
            upload meets an existing public repository.
    """
    if constants.HF_HUB_OFFLINE:
        raise QweftError("HF_HUB_OFFLINE is set, so nothing is sent; unset it to push")
    operations = [CommitOperationAdd(name, content) for name, content in contents(wanted).items()]
    api: Any = HfApi(token=token)
    try:
        made = api.create_repo(wanted.repository, private=wanted.private, exist_ok=True)
        if wanted.private and api.model_info(made.repo_id).private is False:
            raise QweftError(
                f"{made.repo_id} exists and is public; make it private there, choose another name, or say --public"
            )
        api.create_commit(made.repo_id, operations, commit_message="Upload adapter with qweft")
    except LocalTokenNotFoundError as error:
        raise QweftError("no access token was found; run hf auth login, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        raise QweftError(
            f"the hub refused to take {wanted.repository} ({_first_line(error)}); check its name, and that your token "
            "may write there"
        ) from error
    except Exception as error:
        # the hub client has replaced its HTTP library twice, and their errors have no common base class
        if not isinstance(error, OSError) and not type(error).__module__.startswith(("httpx", "requests")):
            raise
        raise QweftError(f"the hub cannot be reached ({_first_line(error)}); check the connection") from error
    return str(made)


def contents(wanted: Push) -> dict[str, bytes | Path]:
    """Return what is sent of each file; config and card get the base model's hub id."""
    sent: dict[str, bytes | Path] = {name: wanted.folder / name for name in wanted.files}
    config = read_json(wanted.folder / CONFIG, "save the adapter again")
    named = config[BASE] if isinstance(config.get(BASE), str) else ""
    changes = {BASE: wanted.base_model}
    if named and config.get(TOKENIZER) == named:
        changes[TOKENIZER] = wanted.base_model
    sent[CONFIG] = json.dumps({**config, **changes}, indent=2).encode()
    if "export.json" in sent:  # without what tells of files that differ from here on
        report = read_json(wanted.folder / "export.json", "export the adapter again")
        sent["export.json"] = json.dumps({key: report[key] for key in report if key != "files"}, indent=2).encode()
    if "README.md" in sent:
        text = (wanted.folder / "README.md").read_text(encoding="utf-8", errors="replace")
        for each in filter(None, (named, Path(named).name)):  # our cards name the last part of a path
            text = renamed(text, each, wanted.base_model)
        sent["README.md"] = _with_base_model(text, wanted.base_model).encode()
    return sent


def renamed(card: str, named: str, public: str) -> str:
    """Return a card with the name of the base model replaced.

    A path is replaced wherever it stands. A plain word, as "model", is replaced in the front matter and in the lines of
    our own cards alone: it is in other sentences, too.
    """
    if "/" in named or os.sep in named:
        return re.sub(rf"{re.escape(named)}(?![\w-])", lambda _: public, card)
    place = rf"(?m)^(base_model: *|- *base_model:adapter:)(['\"]?){re.escape(named)}\2 *$"
    card = re.sub(place, lambda found: f"{found[1]}{found[2]}{public}{found[2]}", card)
    place = rf"(?m)^(Base model: |# \S+ for |Trained with qweft from ){re.escape(escaped(named))}(?=\. Rank |\.?$)"
    return re.sub(place, lambda found: f"{found[1]}{escaped(public)}", card)


def _with_base_model(text: str, base_model: str) -> str:
    """Return a card with the base model in its front matter, or as it is if that is malformed."""
    try:
        card = ModelCard(text, ignore_metadata_errors=True)
    except (ValueError, YAMLError):
        return text
    card.data["base_model"] = base_model
    return str(card)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
