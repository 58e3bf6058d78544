"""Where a base model is: in a local folder, on the hub or in its cache, or in a Python package."""

import os
from dataclasses import dataclass
from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.models.config import ModelConfig
from qweft.models.hub import HUB_ID, cached_snapshot, why_not_served
from qweft.models.packages import EMBEDDED_MODELS, EmbeddedModel, check_installed, embedded_model, prepared_folder


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
    def remedy(self) -> str:
        """What to do about files that are not whole, as the end of a sentence."""
        if not self.local:
            return "check the connection, or fill the hub cache and set HF_HUB_OFFLINE=1"
        return f"check that {self.location} is whole, or remove it and get it anew"


def find_model(config: ModelConfig) -> ModelSource:
    """Return a local folder with a config.json, else an alias (hub or cache before package), else a hub id."""
    name = config.name
    folder = named_path(name)
    if folder.exists():
        return _find_in_folder(name, folder)
    model = embedded_model(name)
    missing = f"model {name}: not here"
    if config.source == "package":
        if model is None:
            raise QweftError(
                f"model {name}: no package holds it; the aliases with a package are {_aliases()}; or set source to hub"
            )
        return _find_in_package(name, model, missing)
    if HUB_ID.fullmatch(name):
        hub_id = name if model is None else model.hub_id
        source = _find_on_hub(name, hub_id)
        if source is not None:
            return source
        missing = f"model {name}: {hub_id} is not in the hub cache ({why_not_served(hub_id)})"
        if model is not None and config.source == "hub":
            raise QweftError(f"{missing}; fill the hub cache, or give --model.source package")
    if model is None:
        raise QweftError(
            f"model {name}: not found; give a local folder that holds a config.json, or an alias ({_aliases()}), or "
            f"a hub id, which needs a connection or a filled hub cache: {why_not_served(name)}"
        )
    return _find_in_package(name, model, missing)


def _aliases() -> str:
    return ", ".join(EMBEDDED_MODELS)


def _find_in_folder(name: str, folder: Path) -> ModelSource:
    """Return a local folder; a prepared one keeps saying where its weights came from."""
    if not (folder / "config.json").is_file():
        problem = "the folder has no config.json" if folder.is_dir() else "it is a file"
        raise QweftError(f"model {name}: {problem}; give the folder that save_pretrained wrote, or a hub id")
    location = os.fspath(folder)
    model = embedded_model(name)
    if model is not None and model.folder == folder.name:
        return ModelSource(name, location, model.origin, local=True, hub_id=model.hub_id)
    return ModelSource(name, location, f"local folder {name}", local=True)


def _find_on_hub(name: str, hub_id: str) -> ModelSource | None:
    """Return the model on the hub, else in its local cache."""
    if not why_not_served(hub_id):
        return ModelSource(name, hub_id, f"{hub_id} from the hub", local=False, hub_id=hub_id)
    snapshot = cached_snapshot(hub_id)
    if snapshot is None:
        return None
    origin = f"{hub_id} from the hub cache, revision {snapshot.name[:8]}"
    return ModelSource(name, os.fspath(snapshot), origin, local=True, hub_id=hub_id)


def _find_in_package(name: str, model: EmbeddedModel, missing: str) -> ModelSource:
    """Return the folder that an embedded model is prepared in; raise, `missing` first, if it is not installed."""
    check_installed(model, missing)
    folder = os.fspath(prepared_folder(model))
    return ModelSource(name, folder, model.origin, local=True, hub_id=model.hub_id, package=model)
