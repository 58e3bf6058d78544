"""Private parts of device packages and Numba. Checked with PennyLane 0.45, qiskit-ibm-runtime 0.51, Numba 0.68."""

from typing import Any


def settings_in(configuration: Any) -> dict[str, Any]:
    """Return all settings of a PennyLane configuration, whose public interface does not list its keys."""
    settings: dict[str, Any] | None = getattr(configuration, "_config", None)
    return settings or {}


def instance_of(backend: Any) -> str:
    """Return the instance that an IBM backend sends its jobs to. The service only reports the last one used."""
    return str(backend._instance)


def read_settings_from(name: str, config: Any) -> None:
    """Name the file that Numba looks for before each compilation; there is no public function or variable for it.

    Args:
        name: The file.
        config: The module `numba.core.config`.
    """
    config._config_fname = name
