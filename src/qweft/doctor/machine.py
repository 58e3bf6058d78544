"""Checks of versions, devices, caches and the extras' packages."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import Requirement

from qweft.files import cache_folder
from qweft.models.packages import EMBEDDED_MODELS
from qweft.text import many


@dataclass(frozen=True)
class Finding:
    """Result of one check in a few words; a "fault" if qweft cannot work here, a "note" if worth knowing."""

    name: str
    said: str
    state: Literal["ok", "note", "fault"] = "ok"


WORKBENCH = "workbench"
ROOM = 2 * 2**30
"""Free disk space in bytes below which the finding is a note."""


def machine() -> Iterator[Finding]:
    """Yield the findings on versions, devices, the circuit engine and caches."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield from _packages()
    yield from _devices()
    from qweft.circuit import compiled  # imported here, since numba takes a second

    slower = Finding("circuit engine", "numba does not work here: PyTorch's paths are used, which are slower", "note")
    yield Finding("circuit engine", "compiled") if compiled.available() else slower
    yield from _caches()


def _packages() -> Iterator[Finding]:
    """Yield the installed version of each required package."""
    for text in importlib.metadata.requires("qweft") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": WORKBENCH}):
            continue
        way = f"pip install '{wanted.name}{wanted.specifier}'"
        version = _version(wanted)
        if version is None:
            yield Finding(wanted.name, f"not installed; {way}", "fault")
        elif wanted.specifier.contains(version, prereleases=True):
            yield Finding(wanted.name, version)
        else:
            yield Finding(wanted.name, f"{version}, and qweft is made for {wanted.specifier}; {way}", "fault")


def _devices() -> Iterator[Finding]:
    import torch

    vectors = torch.backends.cpu.get_cpu_capability()
    slow = "" if "512" in vectors else "; bfloat16 models are slow here, --model.dtype float32 is faster"
    cores, threads = many(os.cpu_count() or 1, "core"), many(torch.get_num_threads(), "thread")
    yield Finding("cpu", f"{cores}, {threads}, {vectors}{slow}")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, whole = (bytes_ / 2**30 for bytes_ in torch.cuda.mem_get_info(number))
            name = torch.cuda.get_device_name(number)
            yield Finding(f"cuda:{number}", f"{name}, {free:.1f} of {whole:.1f} GiB free")
    else:
        yield Finding("cuda", f"none that PyTorch {torch.__version__} sees; training runs on the CPU", "note")


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
            versions = ((each, _version(each)) for each in requirements)
            missing = [each.name for each, has in versions if not has or not each.specifier.contains(has, True)]
            said = f"not installed ({', '.join(missing)}); pip install '.[{extra}]'" if missing else "installed"
            yield Finding(f"extra {extra}", said, "note" if missing else "ok")


def _version(wanted: Requirement) -> str | None:
    try:
        return importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return None
