"""Private parts of device packages (PennyLane 0.45, qiskit-ibm-runtime 0.51), datasets 5.2 and transformers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def settings_in(configuration: Any) -> dict[str, Any]:
    """Return all settings of a PennyLane configuration, whose public interface does not list its keys."""
    settings: dict[str, Any] | None = getattr(configuration, "_config", None)
    return settings or {}


def instance_of(backend: Any) -> str:
    """Return the instance that an IBM backend sends its jobs to. The service only reports the last one used."""
    return str(backend._instance)


def ignored_settings(handler: Any) -> frozenset[str]:
    """Return the settings of a request that transformers' handler logs as unsupported and answers all the same."""
    return frozenset(getattr(handler, "_unused_fields", ()))


@contextmanager
def from_the_cache() -> Iterator[None]:
    """Keep the package datasets from asking a hub that does not answer, five times, for most of a minute."""
    import datasets
    from huggingface_hub import constants

    kept = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = kept
