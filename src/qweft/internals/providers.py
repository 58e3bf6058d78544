"""Private parts of packages for devices. Checked with PennyLane 0.45 and qiskit-ibm-runtime 0.51."""

from typing import Any


def settings_in(configuration: Any) -> dict[str, Any]:
    """All settings of a PennyLane configuration. It answers for a key, and cannot be asked for its keys."""
    settings: dict[str, Any] | None = getattr(configuration, "_config", None)
    return settings or {}


def instance_of(backend: Any) -> str:
    """The instance that an IBM backend sends its jobs to. The service tells only which one was used last."""
    return str(backend._instance)
