"""Where converted models and downloaded data sets are kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache: `$QWEFT_CACHE`, else `~/.cache/qweft`."""
    chosen = os.environ.get("QWEFT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "qweft"
