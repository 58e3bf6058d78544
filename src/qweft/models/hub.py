"""Whether the hub answers for a model or data set, and where its local cache has a model."""

import re
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from qweft.models.folders import has_weights

PATIENCE = 3.0
"""Seconds to wait for an answer of the hub."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so that the hub must not be used."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def why_silent(path: str) -> str:
    """Return why the hub does not answer for the path of a file, as the end of a sentence; empty if it does."""
    if is_offline():
        return "HF_HUB_OFFLINE is set"
    if _status(path) is None:
        return f"the hub did not answer within {PATIENCE:.0f} s"
    return ""


def why_not_served(hub_id: str) -> str:
    """Return why the hub does not serve a model, as the end of a sentence; empty if it does."""
    path = f"{hub_id}/resolve/main/config.json"
    silence = why_silent(path)
    if silence:
        return silence
    status = _status(path)
    if status is not None and status >= 400:
        return f"the hub answered {status}, so there is no such model, or it asks for a login"
    return ""


@cache
def _status(path: str) -> int | None:
    """Return the HTTP status of a file on the hub; `None` without an answer. It is asked once a process."""
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
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answers[0] if answers else None


def cached_snapshot(hub_id: str) -> Path | None:
    """Return the folder of a model in the local hub cache; `None` without its config and weights."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (OSError, ValueError):  # it is not there, or the name is no hub id
        return None
    is_whole = (folder / "config.json").is_file() and has_weights(folder)
    return folder if is_whole else None
