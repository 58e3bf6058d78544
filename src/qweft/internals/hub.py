"""Settings of the hub's packages, which read their variables once, at import. Checked with datasets 5.2."""

from collections.abc import Iterator
from contextlib import contextmanager


def datasets_are_offline() -> bool:
    """Return whether HF_DATASETS_OFFLINE or HF_HUB_OFFLINE keeps the package datasets from the hub."""
    import datasets

    return bool(datasets.config.HF_HUB_OFFLINE)


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
