"""Packs what a machine with a GPU lacks, where no package index is at hand: `make gpu-pack`, or this as a program.

dist/qweft-gpu.tar.gz has the repository's files and, under packed/, Python packages without compiled parts, each in a
folder of its own: `make gpu` takes one where the machine has none that fits.
"""

import importlib.metadata
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from scripts.dist import DIST, ROOT, tracked

from qweft.core.environment import source_commit

PACKAGES = ("pytest", "pluggy", "iniconfig", "pygments", "peft")
"""pytest with what it needs (but packaging, which transformers has), and PEFT if the machine's is too old."""
COMPILED = {".so", ".pyd", ".dylib", ".pyc"}
"""Endings of files that another Python cannot use."""
MOST = 60 * 2**20
"""Largest size in bytes."""
FOLDER = "qweft-gpu"


def files_of(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the installed files of a package that any Python can use, each with its name in the pack."""
    for file in importlib.metadata.files(package) or ():
        name = file.as_posix()
        if name.startswith("..") or file.suffix in COMPILED:
            continue
        yield f"packed/{package}/{name}", Path(str(file.locate()))


def pack(target: Path) -> list[str]:
    """Write the pack; return the names in it."""
    given = [(name, ROOT / name) for name in tracked()]
    given += [pair for package in PACKAGES for pair in files_of(package)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        for name, path in given:
            archive.add(path, f"{FOLDER}/{name}", recursive=False)
        commit = f"{source_commit()}\n".encode()
        entry = tarfile.TarInfo(f"{FOLDER}/packed/commit")
        entry.size = len(commit)
        archive.addfile(entry, io.BytesIO(commit))
    return [name for name, _ in given]


def main() -> int:
    """Pack, and tell the size and what to do with it; return 1 where it is too large or a package is missing."""
    target = DIST / f"{FOLDER}.tar.gz"
    try:
        names = pack(target)
    except importlib.metadata.PackageNotFoundError as error:
        print(f"{error.name} is not installed here, so it cannot be packed; make install installs it", file=sys.stderr)
        return 1
    size = target.stat().st_size
    if size > MOST:
        print(f"{target} has {size / 2**20:.1f} MiB, more than {MOST / 2**20:.0f}", file=sys.stderr)
        return 1
    print(
        f"written: {target}, {size / 2**20:.1f} MiB, {len(names)} files; on the machine with the GPU: "
        f"tar xf {target.name} && cd {FOLDER} && make gpu"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
