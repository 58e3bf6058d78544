"""Checks of versions, devices, caches and the extras' packages."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from packaging.requirements import Requirement

from qweft.files import cache_folder
from qweft.models.packages import EMBEDDED_MODELS
from qweft.text import many


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Args:
        name: Name of the check.
        said: Result in a few words, with a remedy for some faults.
        state: "fault" if qweft cannot work here, "note" for something worth knowing, else "ok".
    """

    name: str
    said: str
    state: Literal["ok", "note", "fault"] = "ok"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON can hold it."""
        return asdict(self)


WORKBENCH = "workbench"
ROOM = 2 * 2**30
"""Free disk space in bytes below which the finding is a note."""


def machine() -> Iterator[Finding]:
    """Yield the findings on versions, devices, the circuit engine and caches."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield from _packages()
    yield from _devices()
    yield from _engine()
    yield from _caches()


def _packages() -> Iterator[Finding]:
    """Yield the installed version of each required package."""
    for text in importlib.metadata.requires("qweft") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": WORKBENCH}):
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(wanted.name, f"not installed; pip install '{wanted.name}{wanted.specifier}'", "fault")
            continue
        if wanted.specifier.contains(version, prereleases=True):
            yield Finding(wanted.name, version)
        else:
            said = f"{version}, and qweft is made for {wanted.specifier}; pip install '{wanted.name}{wanted.specifier}'"
            yield Finding(wanted.name, said, "fault")


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding(
        "cpu", f"{many(os.cpu_count() or 1, 'core')}, {many(torch.get_num_threads(), 'thread')}, {_vectors()}"
    )
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, whole = (bytes_ / 2**30 for bytes_ in torch.cuda.mem_get_info(number))
            name = torch.cuda.get_device_name(number)
            yield Finding(f"cuda:{number}", f"{name}, {free:.1f} of {whole:.1f} GiB free")
    else:
        yield Finding("cuda", f"none that PyTorch {torch.__version__} sees; training runs on the CPU", "note")


def _vectors() -> str:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    slow = "" if "512" in capability else "; bfloat16 models are slow here, --model.dtype float32 is faster"
    return f"{capability}{slow}"


def _engine() -> Iterator[Finding]:
    """Yield which engine runs circuits on this machine."""
    from qweft.circuit import compiled  # imported here, since numba takes a second

    if compiled.available():
        yield Finding("circuit engine", "compiled")
    else:
        yield Finding("circuit engine", "numba does not work here: PyTorch's paths are used, which are slower", "note")


def _caches() -> Iterator[Finding]:
    folder = cache_folder()
    kept = [name for name in EMBEDDED_MODELS if any((folder / "models").glob(f"{name}*"))]
    said = f"{folder}: " + (f"holds {', '.join(kept)}" if kept else "no model yet; the first run prepares one (93 MB)")
    yield Finding("model cache", said)
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "TRUE", "YES", "ON"}
    yield Finding("hub", "not asked (HF_HUB_OFFLINE is set)" if offline else "asked where a name is not known here")
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    yield Finding("disk", f"{free / 2**30:.1f} GiB free for the cache", "ok" if free > ROOM else "note")


NOT_LISTED = {WORKBENCH, "test", "lint", "docs", "dist"}
"""Extras that every command needs, or that are for developers."""


def extras() -> Iterator[Finding]:
    """Yield one finding for each extra of a user's choice."""
    asked: dict[str, list[Requirement]] = {}
    for text in importlib.metadata.requires("qweft") or []:
        wanted = Requirement(text)
        for extra in importlib.metadata.metadata("qweft").get_all("Provides-Extra") or []:
            marker = wanted.marker
            if marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": WORKBENCH}):
                asked.setdefault(extra, []).append(wanted)
    for extra, requirements in asked.items():
        if extra not in NOT_LISTED:
            missing = [each.name for each in requirements if not _is_there(each)]
            said = f"not installed ({', '.join(missing)}); pip install '.[{extra}]'" if missing else "installed"
            yield Finding(f"extra {extra}", said, "note" if missing else "ok")


def _is_there(wanted: Requirement) -> bool:
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(version, prereleases=True)
