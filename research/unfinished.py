"""The finished runs of an unfinished experiment in one file, so that another machine goes on from it.

    python -m research.unfinished keep runs/front docs/results/unfinished/front.json
    python -m research.unfinished put runs/front docs/results/unfinished/front.json

The first command gathers every run.json below the folder, without adapters and checkpoints. The second one puts them
back where none stands. Then the command of the experiment goes on from them: it takes those whose configuration, data
and base weights are its own. Delete the file once the experiment is finished.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from qweft.comparison.trial import RECORD
from qweft.errors import QweftError
from qweft.files import write_bytes


def keep(runs: Path, file: Path) -> int:
    """Gathers the runs below a folder into a file; returns how many there are.

    Raises:
        QweftError: There is none.
    """
    found = {path.parent.relative_to(runs).as_posix(): path for path in sorted(runs.rglob(RECORD))}
    if not found:
        raise QweftError(f"{runs}: no finished run is in it")
    lines = [json.dumps([name, json.loads(path.read_text(encoding="utf-8"))]) for name, path in found.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, ("\n".join(lines) + "\n").encode())
    return len(found)


def put(runs: Path, file: Path) -> int:
    """Puts the runs of a file back below a folder, and leaves what stands there; returns how many were put.

    Raises:
        QweftError: A name in the file leads out of the folder.
    """
    made = 0
    for line in file.read_text(encoding="utf-8").splitlines():
        name, record = json.loads(line)
        place = runs / name / RECORD
        if not place.resolve().is_relative_to(runs.resolve()):
            raise QweftError(f"{file}: {name} leads out of {runs}")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, json.dumps(record, indent=1).encode())
            made += 1
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Keeps the runs, or puts them back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["keep", "put"])
    parser.add_argument("runs", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args(argv)
    number = (keep if given.what == "keep" else put)(given.runs, given.file)
    print(f"{number} runs")


if __name__ == "__main__":
    main()
