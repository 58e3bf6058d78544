"""Runs of a comparison that is still under way, kept in the repository so that another machine can go on with it.

    python -m research.unfinished keep runs/ground-gsm8k       # write research/data/unfinished/ground-gsm8k.json.gz
    python -m research.unfinished restore runs/ground-gsm8k    # make the folder of runs again, then: qweft compare ...

A kept run is its record alone. Its adapter is not needed to finish the comparison. `qweft compare` takes a restored run
if its config, rows and base weights are the same, and refuses it otherwise. When the comparison is finished,
`python -m research.evidence` keeps its results, and the file here goes.
"""

import argparse
import gzip
import json
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "unfinished"


def kept_file(runs: Path) -> Path:
    """Return the file that holds the records of a folder of runs."""
    return FOLDER / f"{runs.name}.json.gz"


def keep(runs: Path) -> int:
    """Write the records of all finished runs of a folder; return their number."""
    records = {}
    for path in sorted(runs.glob("*/run.json")):
        records[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    packed = json.dumps(records, separators=(",", ":")).encode()
    kept_file(runs).write_bytes(gzip.compress(packed, mtime=0))
    return len(records)


def restore(runs: Path) -> int:
    """Write the kept records that a folder of runs lacks; return their number."""
    records = json.loads(gzip.decompress(kept_file(runs).read_bytes()))
    written = 0
    for name, record in records.items():
        path = runs / name / "run.json"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record), encoding="utf-8")
        written += 1
    return written


def main() -> None:
    """Keep or restore the runs of one comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("keep", "restore"))
    parser.add_argument("runs", type=Path, help="the output folder of qweft compare")
    options = parser.parse_args()
    count = keep(options.runs) if options.action == "keep" else restore(options.runs)
    print(f"{options.action}: {count} runs, {kept_file(options.runs)}")


if __name__ == "__main__":
    main()
