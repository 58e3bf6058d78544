"""Builds the sdist and the wheel, checks both, and tries the wheel alone: `python -m scripts.dist`, or `make dist`.

It needs an index of packages: for the build, and for what the wheel depends on. The results lie in dist/.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
BESIDES = ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml")
"""Files that the sdist must have beside the package."""
LEFT_OUT = ("tests/", "benchmarks/", "research/", "configs/", "__pycache__", ".pyc")
"""Parts of names that no distribution has."""
LARGEST = 5 * 2**20
"""Largest size of a distribution in bytes."""
LOCAL = r"(?!https?://|mailto:)"
"""Before the target of a link: it is a file of the repository."""


def without_local_links(readme: str) -> str:
    """Return the README for a page of an index, where files and pictures of the repository are not at hand.

    >>> without_local_links("see [the docs](docs/index.md) and [arXiv](https://arxiv.org)")
    'see the docs and [arXiv](https://arxiv.org)'
    """
    text = re.sub(r"<picture>.*?</picture>\n*", "", readme, flags=re.DOTALL)
    text = re.sub(rf"<img\b[^>]*\bsrc=[\"']{LOCAL}[^>]*>\n*", "", text)
    text = re.sub(rf"<a\b[^>]*\bhref=[\"']{LOCAL}[^>]*>(.*?)</a>", r"\1", text, flags=re.DOTALL)
    text = re.sub(rf"!\[[^\]]*\]\({LOCAL}[^)]*\)\n*", "", text)
    return re.sub(rf"\[([^\]]*)\]\({LOCAL}[^)]*\)", r"\1", text)


def tracked() -> list[str]:
    """Return the names of the repository's files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def copied(names: Iterable[str], folder: Path) -> None:
    """Copy files of the repository to a folder, the README as an index shows it."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    readme = folder / "README.md"
    readme.write_text(without_local_links(readme.read_text(encoding="utf-8")), encoding="utf-8")


def faults(wheel: Path, sdist: Path, names: Iterable[str]) -> list[str]:
    """Return what is wrong with the contents of a wheel and an sdist of these files, a line each."""
    package = {name.removeprefix("src/") for name in names if name.startswith("src/qweft/")}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    about = {name for name in in_wheel if ".dist-info/" in name}
    found = [f"{wheel.name} lacks {name}" for name in sorted(package - in_wheel)]
    found += [
        f"{wheel.name} has {name}, which is no file of the package" for name in sorted(in_wheel - package - about)
    ]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in about):
        found.append(f"{wheel.name} lacks LICENSE")
    wanted = {f"src/{name}" for name in package} | set(BESIDES)
    found += [f"{sdist.name} lacks {name}" for name in sorted(wanted - in_sdist)]
    found += [f"{sdist.name} has {name}" for name in sorted(in_sdist) if any(part in name for part in LEFT_OUT)]
    for file in (wheel, sdist):
        if file.stat().st_size > LARGEST:
            found.append(f"{file.name} has {file.stat().st_size:,} bytes, more than {LARGEST:,}")
    return found


def tried(wheel: Path, folder: Path) -> None:
    """Install the wheel alone, then with the workbench, and run both outside of the repository."""
    venv.create(folder / "venv", with_pip=True)
    bin_folder = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    alone = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    for command in (
        ["python", "-m", "pip", "install", "--quiet", str(wheel)],
        ["python", "-c", "from qweft import QwthnConfig; QwthnConfig()"],
        ["python", "-m", "pip", "install", "--quiet", f"{wheel}[workbench]"],
        ["qweft", "--version"],
        ["qweft", "doctor"],
    ):
        print("$", *command, flush=True)
        subprocess.run([bin_folder / command[0], *command[1:]], cwd=folder, env=alone, check=True)


def main() -> int:
    """Build, check and try; return 1 where something is wrong."""
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        source, names = Path(folder) / "source", tracked()
        copied(names, source)
        subprocess.run([sys.executable, "-m", "build", "--outdir", DIST, source], check=True, stdout=subprocess.DEVNULL)
        (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", wheel, sdist], check=True)
        wrong = faults(wheel, sdist, names)
        print("\n".join(wrong) or f"contents: {wheel.name} and {sdist.name} are whole", flush=True)
        if wrong:
            return 1
        tried(wheel, Path(folder))
    print(f"written: {wheel}, {sdist}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
