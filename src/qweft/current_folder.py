"""The current folder may be a stranger's, unpacked a moment ago: no code, settings or libraries are taken from it.

Python and some packages look there by themselves. `qweft` as a command does not, since its first place for modules is
the folder of the command. What would look there is started or loaded by the functions of this module.
"""

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.files import cache_folder
from qweft.internals.providers import read_settings_from

NUMBA_SETTINGS = ".numba_config.yaml"
"""Numba reads it at its import and before each compilation. Its `cache_dir` names pickles that Numba loads."""
MATPLOTLIB_SETTINGS = "matplotlibrc"
"""matplotlib reads it as it is imported, before its own places."""
PENNYLANE_SETTINGS = "config.toml"
"""PennyLane reads it as it is imported, before the user's own."""
NOWHERE = str(Path(sys.executable).resolve() / "no-such-file")
"""The name of a file below a file, which cannot exist."""
FOR_CHILDREN = {
    "PYTHONSAFEPATH": "1",
    "WANDB_DISABLE_GIT": "true",
    "COMET_AUTO_LOG_GIT_METADATA": "false",
    "COMET_AUTO_LOG_GIT_PATCH": "false",
}
"""By these `python -m` in a child does not look here first, and W&B and Comet run no git, which obeys `.git/config`."""
ORIGINS_LIBRARIES = ("libpthread.so.0", "librt.so.1", "libatomic.so.1", "libgomp.so.1")
"""What a library of pyqpanda3 0.5.1 needs. The last place where it has them looked for is empty: the current folder."""


def module_command(module: str, *words: str) -> list[str]:
    """Return the command that runs a module's `main` in a process of its own: `python -m` would look here first.

    Args:
        module: Dotted name of a module of this package, with a function `main()` that returns the exit status.
        *words: Its arguments.
    """
    parent = str(Path(__file__).resolve().parents[1])  # last, so that nothing beside the package hides another module
    code = f"import sys; sys.path.append({parent!r}); from {module} import main; sys.exit(main())"
    return [sys.executable, "-P", "-c", code, *words]


@contextmanager
def in_an_empty_folder() -> Iterator[None]:
    """Make an empty folder the current one, for what reads the current one as it starts.

    Raises:
        QweftError: The cache folder cannot be written.
    """
    empty = cache_folder() / "empty"
    try:
        empty.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QweftError(f"{empty} cannot be made ({error.strerror}); set QWEFT_CACHE to a folder of yours") from error
    with chdir(empty):
        yield


@contextmanager
def children_apart() -> Iterator[None]:
    """Keep processes that a command's packages start away from code and git settings of the current folder."""
    kept = {name: os.environ.get(name) for name in FOR_CHILDREN}
    os.environ.update({name: value for name, value in FOR_CHILDREN.items() if kept[name] is None})
    try:
        yield
    finally:
        for name in [name for name, value in kept.items() if value is None]:
            os.environ.pop(name, None)


def load_pennylane() -> None:
    """Import PennyLane without the `config.toml` of the current folder, which may hold options of its devices."""
    if "pennylane" not in sys.modules and os.path.lexists(PENNYLANE_SETTINGS) and find_spec("pennylane") is not None:
        with in_an_empty_folder(), suppress(Exception):  # `require` tells what an import raises
            import_module("pennylane")


def load_matplotlib() -> None:
    """Import matplotlib without the file `matplotlibrc` of the current folder, if there is one.

    It looks there before its own places, and a pipe of that name would be waited for.
    """
    if os.path.lexists(MATPLOTLIB_SETTINGS) and "matplotlib" not in sys.modules:
        with in_an_empty_folder():
            import_module("matplotlib")


def load_numba() -> Any:
    """Return the package numba, which reads no settings from the current folder from now on.

    Raises:
        QweftError: It would do so as it is imported.
        ImportError: It is not installed.
    """
    if "numba" not in sys.modules and Path(NUMBA_SETTINGS).exists():
        raise QweftError(
            f"the current folder has a {NUMBA_SETTINGS}, by which Numba may load code from where it says; start in "
            "another folder, or remove the file (where it is your own, its settings can be variables, NUMBA_...)"
        )
    numba = import_module("numba")
    read_settings_from(NOWHERE, import_module("numba.core.config"))
    import_module("numba.extending")
    return numba


def load_origins_libraries(names: Sequence[str] = ORIGINS_LIBRARIES) -> None:
    """Load the system's libraries that pyqpanda3 needs; call it before that package is imported.

    A library that is loaded is not looked for again.

    Raises:
        QweftError: The system lacks one.
    """
    if sys.platform != "linux" or find_spec("pyqpanda3") is None:
        return
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            raise QweftError(
                f"pyqpanda3 needs the library {name}, which this system lacks; install it ({error})"
            ) from error


@contextmanager
def default_style() -> Iterator[None]:
    """Draw by matplotlib's own defaults, whatever settings it was imported with: figures are the same everywhere."""
    import matplotlib  # here: most commands draw nothing

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
