"""Optional extras: which are there, and how the others are installed."""

import importlib.metadata
from collections.abc import Iterator

from packaging.requirements import Requirement

from qweft.doctor.finding import Finding

FOR_DEVELOPERS = {"test", "lint", "docs"}


def extras() -> Iterator[Finding]:
    """One finding for each extra that users install."""
    asked: dict[str, list[Requirement]] = {}
    for text in importlib.metadata.requires("qweft") or []:
        wanted = Requirement(text)
        for extra in importlib.metadata.metadata("qweft").get_all("Provides-Extra") or []:
            marker = wanted.marker
            if marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                asked.setdefault(extra, []).append(wanted)
    for extra, requirements in asked.items():
        if extra not in FOR_DEVELOPERS:
            missing = [each.name for each in requirements if not _is_there(each)]
            said = f"not installed ({', '.join(missing)}); pip install 'qweft[{extra}]'" if missing else "installed"
            yield Finding(f"extra {extra}", said, "note" if missing else "ok")


def _is_there(wanted: Requirement) -> bool:
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(version, prereleases=True)
