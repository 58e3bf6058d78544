"""`Store`: the proposed trials of a sweep, a file in its folder that its processes share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.files import locked
from qweft.records import read_record, write_record
from qweft.sweep.space import Point

FILE = "trials.json"
LOCK = ".trials.lock"
SECONDS_BETWEEN_LOOKS = 0.05


class Store:
    """The proposed trials, by number.

    A trial is recorded before it runs, so that all processes run the same trials. Its result is in the trial's folder.

    Args:
        folder: The sweep's folder.
        configuration: A hash of everything that determines the trials' results. That of another sweep is refused.
    """

    def __init__(self, folder: Path, configuration: str):
        self.path, self.configuration = folder / FILE, configuration
        with self.alone():
            if self._read().get("configuration") != configuration:
                raise QweftError(f"{folder} holds a sweep of another configuration; choose another --output")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let only one process of the sweep at a time run such a block."""
        while True:
            with locked(self.path.with_name(LOCK)) as held:
                if held is not False:
                    yield
                    return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"configuration": self.configuration, "points": [], "refused": []}
        way = "remove that file: finished trials are kept in their folders"
        record = read_record(self.path, way)
        if not isinstance(record.get("points"), list) or not all(isinstance(each, dict) for each in record["points"]):
            raise QweftError(f"{self.path} is not the trials of a sweep; {way}")
        return record

    def points(self) -> list[Point]:
        """Return the configurations of all trials, by number."""
        return list(self._read()["points"])

    def add(self, point: Point, refused: int) -> None:
        """Record the next trial, and the number of draws that did not fit before it."""
        record = self._read()
        points, before = [*record["points"], point], [*record.get("refused", ()), refused]
        record = {"configuration": self.configuration, "points": points, "refused": before}
        write_record(self.path, record, "config")

    def refused(self, trials: int) -> int:
        """Return the number of draws that did not fit, over the first `trials` trials."""
        return sum(self._read().get("refused", ())[:trials])
