"""Resolution of a model name to a local folder, a hub id, or an embedded model."""

import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import quote

from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.models.config import ModelConfig
from qweft.models.packages import EMBEDDED_MODELS, EmbeddedModel, check_installed, embedded_model, prepared_folder
from qweft.models.quantization import SAID, check_quantization

PATIENCE = 3.0
"""Seconds to wait for an answer of the hub."""
DEVICES = ("auto", "cpu", "cuda", "mps", "meta")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def offline() -> bool:
    """Return whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so that the hub must not be used."""
    from huggingface_hub import is_offline_mode  # here, since its import takes longer than a look at a folder

    return is_offline_mode()


def no_answer(path: str) -> str:
    """Return why the hub does not answer for the path of a file, as the end of a sentence; empty if it does."""
    if offline():
        return "HF_HUB_OFFLINE is set"
    return f"the hub did not answer within {PATIENCE:.0f} s" if _status(path) is None else ""


def why_not(hub_id: str) -> str:
    """Return why the hub does not serve a model, as the end of a sentence; empty if it does."""
    path = f"{hub_id}/resolve/main/config.json"
    if (silent := no_answer(path)) or (status := _status(path) or 0) < 400:
        return silent
    return f"the hub answered {status}, so there is no such model, or it asks for a login"


@cache
def _status(path: str) -> int | None:
    """Return the HTTP status of a file on the hub; `None` without an answer."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers

    url = f"{constants.ENDPOINT}/{quote(path)}"
    answers: list[int] = []

    def ask() -> None:
        # Any failure (DNS, proxy, certificate, timeout) counts as no answer.
        with suppress(Exception):
            answer = get_session().head(url, headers=build_hf_headers(), timeout=PATIENCE, follow_redirects=True)
            answers.append(answer.status_code)

    # In a thread, because a DNS lookup has no timeout and can hang for half a minute.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answers[0] if answers else None


def cached_snapshot(hub_id: str) -> Path | None:
    """Return the folder of a model in the local hub cache; `None` without its config and weights."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (OSError, ValueError):  # it is not there, or the name is no hub id
        return None
    return folder if (folder / "config.json").is_file() and has_weights(folder) else None


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds model weights: safetensors or PyTorch files, sharded or not."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def check_holds_no_model(output: Path) -> None:
    """Raise if an output is the folder of a model or an adapter itself, whose files a run would be mixed with."""
    is_model = (output / "config.json").is_file() and has_weights(output)
    if is_model or (output / "adapter_config.json").is_file():
        what = "a model" if is_model else "an adapter"
        raise QweftError(f"output {output} is the folder of {what}; choose another --output, as {output}-run")


@dataclass(frozen=True)
class ModelSource:
    """The source of a base model."""

    name: str  # as the user wrote it
    location: str  # what `from_pretrained` takes: a local folder or a hub id
    origin: str  # for reports; ends in ", in 4 bits (NF4)" if it is quantised at loading
    local: bool  # whether `location` is a folder, so the hub is not used
    hub_id: str | None = None  # of the original model, if known
    package: EmbeddedModel | None = None  # what the folder is prepared from

    @property
    def way(self) -> str:
        """What to do about files that are not whole, as the end of a sentence."""
        if not self.local:
            return "check the connection, or fill the hub cache and set HF_HUB_OFFLINE=1"
        return f"check that {self.location} is whole, or remove it and get it anew"


def resolve(config: ModelConfig) -> ModelSource:
    """Find a base model as `find` does, and prepare an embedded one."""
    source = find(config)
    if source.package is not None:
        from qweft.models.embedded import prepare

        source = replace(source, location=os.fspath(prepare(source.package)), package=None)
    if config.quantization is None:
        return source
    return replace(source, origin=f"{source.origin}, {SAID[config.quantization]}")


def check_model(config: ModelConfig, needs_weights: bool = True) -> ModelSource:
    """Check a base model as far as that is possible before PyTorch is imported: its name, device and files."""
    check_device_name(config.device)
    if needs_weights and config.device == "meta":
        raise QweftError("--model.device meta has shapes and no numbers; give auto, cpu or cuda")
    source = find(config)
    check_quantization(config.quantization, config.name, {})
    if needs_weights:
        check_weights(source)
    return source


def check_device_name(name: str) -> None:
    """Raise unless a device is of a type that models are put on."""
    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and not number.isdecimal()):
        raise QweftError(f"device {name}: unknown; use auto, cpu, cuda, cuda:1, mps or meta")


def check_weights(source: ModelSource) -> None:
    """Raise if a local folder holds no weights: missing ones would be filled with random numbers."""
    if source.local and source.package is None and not has_weights(Path(source.location)):
        raise QweftError(
            f"model {source.name}: the folder holds a config.json and no weights (*.safetensors, pytorch_model*.bin); "
            "copy the weights there, or use device meta to work with the shapes alone"
        )


def find(config: ModelConfig) -> ModelSource:
    """Return a local folder with a config.json, else an alias (hub or cache before package), else a hub id."""
    name, folder = config.name, named_path(config.name)
    model, aliases, missing = embedded_model(name), ", ".join(EMBEDDED_MODELS), f"model {name}: not here"
    if (folder / "config.json").is_file():
        made = model if model is not None and model.folder == folder.name else None
        origin, hub_id = (made.origin, made.hub_id) if made else (f"local folder {name}", None)
        return ModelSource(name, os.fspath(folder), origin, local=True, hub_id=hub_id)
    if folder.exists():
        what = "the folder has no config.json" if folder.is_dir() else "it is a file"
        raise QweftError(f"model {name}: {what}; give the folder that save_pretrained wrote, or a hub id")
    if config.source == "package" and model is None:
        raise QweftError(
            f"model {name}: no package holds it; the aliases with a package are {aliases}; or set source to hub"
        )
    if config.source != "package" and HUB_ID.fullmatch(name):
        hub_id = name if model is None else model.hub_id
        reason = why_not(hub_id)
        if not reason:
            return ModelSource(name, hub_id, f"{hub_id} from the hub", local=False, hub_id=hub_id)
        if (snapshot := cached_snapshot(hub_id)) is not None:
            origin = f"{hub_id} from the hub cache, revision {snapshot.name[:8]}"
            return ModelSource(name, os.fspath(snapshot), origin, local=True, hub_id=hub_id)
        missing = f"model {name}: {hub_id} is not in the hub cache ({reason})"
        if model is not None and config.source == "hub":
            raise QweftError(f"{missing}; fill the hub cache, or give --model.source package")
    if model is None:
        raise QweftError(
            f"model {name}: not found; give a local folder that holds a config.json, or an alias ({aliases}), or "
            f"a hub id, which needs a connection or a filled hub cache: {why_not(name)}"
        )
    check_installed(model, missing)
    return ModelSource(name, os.fspath(prepared_folder(model)), model.origin, True, model.hub_id, package=model)
