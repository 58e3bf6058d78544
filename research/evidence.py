"""The raw results behind published sentences: research/data.

    python -m research.evidence runs/decide/results.json decide

keeps the results of a comparison. NAME.json is the record that people read: config, commit, machine, rates, losses of
each seed, differences and intervals. rows/NAME.json.gz has what each run lost on each test row, its training curve and
its answers. SHA256SUMS has the checksums of both; `sha256sum --check SHA256SUMS` tells damage.
"""

import argparse
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"
SUMS = "SHA256SUMS"
LONG = ("eval_row_losses", "eval_row_groups", "train_loss_curve", "forgetting", "answers", "inspection")
"""What is long in the record of a run."""


def names() -> list[str]:
    """Return the names of all kept results."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Any:
    """Return a kept result as it was written."""
    record = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    rows = FOLDER / "rows" / f"{name}.json.gz"
    if rows.is_file():
        for run, long in zip(_runs(record), json.loads(gzip.decompress(rows.read_bytes())), strict=True):
            run |= long
    return record


def is_rate_at_end(name: str, method: str) -> bool:
    """Return whether the rate of a method in a kept result was the lowest or the highest one that was tried."""
    search = read(name).get("search") or {}
    return bool(search.get(method, {}).get("at_end_of_grid"))


def keep(results: Any, name: str) -> None:
    """Keep a result, split into a record and its rows, and write the checksums anew."""
    long = [{key: run.pop(key) for key in LONG if run.get(key)} for run in _runs(results)]
    (FOLDER / "rows").mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(_lines(results) + "\n", encoding="utf-8")
    if any(long):
        packed = json.dumps(long, separators=(",", ":")).encode()
        (FOLDER / "rows" / f"{name}.json.gz").write_bytes(gzip.compress(packed, mtime=0))
    (FOLDER / SUMS).write_text("".join(f"{digest}  {path}\n" for path, digest in checksums().items()))


def checksums() -> dict[str, str]:
    """Return the SHA-256 of each kept file."""
    paths = sorted(path for pattern in ("*.json", "rows/*.gz") for path in FOLDER.glob(pattern))
    return {path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _lines(value: Any, depth: int = 2) -> str:
    """Return JSON with a line for each run and each method."""
    if not depth or not value or not isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(each, depth - 1)}" for key, each in value.items()]
        return "{\n" + ",\n".join(parts) + "\n}"
    return "[\n" + ",\n".join(_lines(each, depth - 1) for each in value) + "\n]"


def _runs(record: Any) -> list[dict[str, Any]]:
    """Return the runs of a record, also those of its cells and comparisons."""
    if not isinstance(record, dict):
        return []
    parts = [record, *record.get("cells", ()), *record.get("comparisons", ())]
    return [run for part in parts for run in part.get("runs", ()) if isinstance(run, dict)]


def main(argv: Sequence[str] | None = None) -> None:
    """Keep a results.json under a name."""
    parser = argparse.ArgumentParser(description="Keep the results of a comparison.")
    parser.add_argument("file", type=Path)
    parser.add_argument("name")
    given = parser.parse_args(argv)
    keep(json.loads(given.file.read_text(encoding="utf-8")), given.name)


if __name__ == "__main__":
    main()
