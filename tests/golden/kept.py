"""The kept results of the experiments, wherever they are, packed or plain."""

import gzip
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "research" / "data", ROOT / "docs" / "results")


def names() -> list[str]:
    """Return the names of all kept files, without their endings."""
    return sorted({path.name.partition(".")[0] for folder in FOLDERS for path in folder.glob("*.json*")})


def read(name: str) -> Any:
    """Return the content of a kept file."""
    for folder in FOLDERS:
        for path in sorted(folder.glob(f"{name}.json*")):
            data = path.read_bytes()
            return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    raise FileNotFoundError(name)
