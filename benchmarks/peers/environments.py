"""The environments of the peers, made when first asked for and kept in benchmarks/.environments.

An environment sees the packages of the interpreter that runs the benchmark, so that torch is there once and the same
for all, and has of its own only what a peer adds. Peers that get along share one.
"""

import re
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

SHARED = {
    "pennylane_torch": "torch",
    "pennylane_lightning": "torch",
    "pennylane_jax": "jax",
    "tensorcircuit_torch": "torch",
    "tensorcircuit_jax": "jax",
    "torchquantum": "torch",
    "deepquantum": "torch",
    "pyqtorch": "torch",
    "torq": "torch",
    "fastqml": "torch",
    "qandle": "torch",
    "flagquantum": "torch",
    "quantum_adapter": "torch",
}
"""The environment of each peer that needs one."""

ALONE = ("qandle",)
"""Peers whose requirements cannot be resolved (a package named python); all that they need is listed."""
HERE = Path(__file__).parent
INSTALL_SECONDS = 900


class NotInstalledError(RuntimeError):
    """A peer's packages cannot be had here; its message is one sentence."""


def environment(peer: str) -> Path:
    """The Python that can import the peer's packages; installs them if they are not there yet.

    Raises:
        NotInstalledError: If that does not succeed.
    """
    if peer not in SHARED:
        return Path(sys.executable)
    folder = HERE.parent / ".environments" / SHARED[peer]
    python = make(folder)
    requirements = HERE / f"requirements-{peer}.txt"
    torch_here = f"torch=={metadata.version('torch')}\n"
    wanted = torch_here + requirements.read_text()
    done = folder / f"installed-{peer}.txt"
    if not done.exists() or done.read_text() != wanted:
        constraints = folder / "constraints.txt"
        constraints.write_text(torch_here)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "30"]
        command += ["--no-deps"] if peer in ALONE else []
        install(peer, [*command, "--constraint", str(constraints), "--requirement", str(requirements)])
        done.write_text(wanted)
    return python


def version_of(peer: str, python: Path) -> str:
    """The version of a peer's package, and of what it runs on if that is another one; empty for this project."""
    if peer not in SHARED:
        return ""
    names = re.findall(r"^[\w-]+", (HERE / f"requirements-{peer}.txt").read_text(), re.MULTILINE)
    code = f"from importlib.metadata import version; print(*(n + ' ' + version(n) for n in {names[:2]}), sep=', ')"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()


def make(folder: Path) -> Path:
    """An environment that looks for packages in its own folder first, then where this interpreter has them."""
    paths = sysconfig.get_paths()
    visible = dict.fromkeys((paths["purelib"], paths["platlib"]))
    text = "".join(f"import site; site.addsitedir({path!r})\n" for path in visible)
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    link = own / "packages_of_the_benchmark.pth"
    if not link.exists() or link.read_text() != text:  # written last: without it the environment is half made
        try:
            venv.create(folder, clear=True, symlinks=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotInstalledError(f"the environment {folder.name} could not be made: {error}") from error
        link.write_text(text)
    return Path(sysconfig.get_path("scripts", "venv", {"base": str(folder)})) / "python"


def install(peer: str, command: list[str]) -> None:
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(f"the packages of {peer} could not be installed: {error}") from error
    if outcome.returncode:
        lines = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise NotInstalledError(f"the packages of {peer} could not be installed: {lines[-1]}")
