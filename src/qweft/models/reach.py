"""Whether the model hub, or a copy of one of its models in the local hub cache, can be had."""

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import constants, get_session, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

PATIENCE = 3.0
"""Seconds a hub is waited for."""


def offline() -> bool:
    """Return whether the user has forbidden the hub (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    wanted = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return constants.HF_HUB_OFFLINE or any(value in {"1", "ON", "YES", "TRUE"} for value in wanted)


def reachable(hub_id: str) -> bool:
    """Return whether the hub gives this model out; asked once a process, for three seconds, never when offline."""
    status = None if offline() else _status(hub_id)
    return status is not None and status < 400


def why_not(hub_id: str) -> str:
    """Return why `reachable` said no, as the end of a sentence."""
    if offline():
        return "HF_HUB_OFFLINE is set"
    status = _status(hub_id)
    if status is None:
        return f"the hub did not answer within {PATIENCE:.0f} s"
    return f"the hub answered {status}, so there is no such model, or it asks for a login"


@cache
def _status(hub_id: str) -> int | None:
    """Return the HTTP status of the model's config on the hub, none where no answer came."""
    url = f"{constants.ENDPOINT}/{quote(hub_id)}/resolve/main/config.json"
    answers: list[int] = []

    def ask() -> None:
        # Any failure (name, proxy, certificate, time) means the same thing here: no answer.
        with suppress(Exception):
            answer = get_session().head(url, headers=build_hf_headers(), timeout=PATIENCE, follow_redirects=True)
            answers.append(answer.status_code)

    # A thread, because looking a name up has no time limit of its own and can hang for half a minute.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answers[0] if answers else None


def cached_snapshot(hub_id: str) -> Path | None:
    """Return the folder of a model in the local hub cache that has its config and weights, or none."""
    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    return folder if (folder / "config.json").is_file() and has_weights(folder) else None


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds model weights (safetensors or PyTorch files, also in pieces)."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))
