"""`Store`: a sweep's Optuna study, a SQLite file in its folder, shared by its processes."""

import math
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from qweft.comparison.results import Run
from qweft.errors import QweftError
from qweft.files import check_database, locked_in_words
from qweft.sweep.proposals import frozen, optuna
from qweft.sweep.space import Axis, Point
from qweft.text import shown

FILE = "study.db"
LOCK = ".study.lock"
NAME = "qweft"
CONFIGURATION = "configuration"
REFUSED = "refused_before"
SECONDS_BETWEEN_LOOKS = 0.05
NO_ROOM = "disk is full", "disk I/O error", "readonly database"
"""What SQLite says where a file is sound and cannot grow."""


class Store:
    """The proposed trials and their results."""

    def __init__(
        self,
        folder: Path,
        axes: Sequence[Axis],
        configuration: str,
        earlier: Sequence[str] = (),
        meant: Mapping[str, str] = {},
    ):
        self.folder, self.axes = folder, axes
        with self.alone():
            with self._in_words():
                others = _of_others((folder / FILE).absolute())
            if others:
                raise QweftError(f"output {folder} holds {FILE}, and no sweep wrote it; choose another --output")
            with self._in_words():
                self.study = self._open()
                known = self.study.user_attrs.get(CONFIGURATION)
            if known not in (None, configuration, *earlier):
                said = f": {then}; state these sizes" if (then := meant.get(str(known))) else ""
                raise QweftError(f"{folder} holds a sweep of another configuration{said}; choose another --output")
            if known is None:
                self.study.set_user_attr(CONFIGURATION, configuration)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except QweftError:
            raise
        except Exception as error:  # from Optuna, SQLAlchemy or SQLite
            said = (str(error).splitlines() or [""])[0][:200]
            if any(words in said for words in NO_ROOM):
                raise QweftError(
                    f"{self.folder / FILE} could not be written ({said}); make room there, or allow writing, and give "
                    "the same command again: finished trials are kept"
                ) from error
            if "is locked" in said:
                raise QweftError(
                    f"{self.folder / FILE} was held by another process for too long ({said}); give the same command "
                    "again: finished trials are kept"
                ) from error
            raise QweftError(
                f"{self.folder / FILE} cannot be read as the study of a sweep ({type(error).__name__}: {said}); remove "
                "that file: finished trials are kept in their folders"
            ) from error

    def _open(self) -> Any:
        from sqlalchemy import URL, make_url

        package, path = optuna(), str((self.folder / FILE).absolute())
        waiting = {"connect_args": {"timeout": 60}}
        url = URL.create("sqlite", database=path).render_as_string(hide_password=False)
        if make_url(url).database != path or "{" in url:  # as by an earlier SQLAlchemy
            raise QweftError(
                f"output {self.folder} has ?, % or {{ in its path, where no study is kept; choose another one"
            )
        self._storage = package.storages.RDBStorage(url, engine_kwargs=waiting)
        return package.create_study(study_name=NAME, storage=self._storage, direction="minimize", load_if_exists=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let only one process of the sweep at a time run such a block."""
        while True:
            with locked_in_words(self.folder / LOCK) as held:
                if held is not False:
                    yield
                    return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def points(self) -> list[Point]:
        """Return the configurations of all trials, by number."""
        with self._in_words():
            return [
                {axis.name: axis.decoded(trial.params[axis.name]) for axis in self.axes}
                for trial in self.study.get_trials(deepcopy=False)
            ]

    def add(self, point: Point, parameters: int, refused: int) -> None:
        """Record the next trial."""
        trial = frozen(self.axes, point, None)
        trial.set_user_attr("trainable_parameters", parameters)
        trial.set_user_attr(REFUSED, refused)
        with self._in_words():
            self.study.add_trial(trial)

    def refused(self, trials: int) -> int:
        """Return the number of draws that did not fit, over the first `trials` trials."""
        with self._in_words():
            return sum(trial.user_attrs.get(REFUSED, 0) for trial in self.study.get_trials(deepcopy=False)[:trials])

    def finish(self, number: int, run: Run) -> None:
        """Record a trial's result once. A diverged trial is pruned and keeps its training losses."""
        with self._in_words():
            self._finish(number, run)

    def _finish(self, number: int, run: Run) -> None:
        trial = self.study.get_trials(deepcopy=False)[number]
        if trial.state.is_finished():
            return
        storage, states = self._storage, optuna().trial.TrialState
        key = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(NAME), number)
        storage.set_trial_user_attr(key, "seconds", run.seconds)
        if run.eval_loss is not None:
            storage.set_trial_state_values(key, states.COMPLETE, [run.eval_loss])
            return
        for step, loss in run.train_loss_curve:
            if math.isfinite(loss):
                storage.set_trial_intermediate_value(key, step, loss)
        storage.set_trial_state_values(key, states.PRUNED)


COMPUTES = re.compile(r"\b(AS|CHECK|DEFAULT|WHERE)\b", re.IGNORECASE)
"""Words by which a database computes something by itself, as it is read or written."""
MADE = re.compile(r"CREATE (UNIQUE )?(TABLE|INDEX)\b")
"""How the statements begin that Optuna makes. SQLite goes by the statement, whatever type is written beside it."""
OWN_CHECK = "CHECK (version_info_id=1)"


def _of_others(path: Path) -> bool:
    """Whether a file holds studies of another program alone, to which Optuna would add one."""
    _check_schema(path)
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, 60)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchone():
            return False
        some = connection.execute("SELECT 1 FROM studies").fetchone()  # a killed sweep may have left none
        own = connection.execute("SELECT 1 FROM studies WHERE study_name = ?", (NAME,)).fetchone()
    return bool(some) and not own


def _check_schema(path: Path) -> None:
    """Check a study that may come in a folder that a stranger made, before Optuna opens it."""
    check_database(path)
    if path.exists():
        with closing(sqlite3.connect(path, 60)) as connection:
            for kind, name, text in connection.execute("SELECT type, name, sql FROM sqlite_master"):
                text = (text or "").replace(OWN_CHECK, "")
                made = MADE.match(text) if text else None
                is_of_expressions = made and made[2] == "INDEX" and text.count("(") > 1
                if (text and not made) or is_of_expressions or COMPUTES.search(text):
                    raise ValueError(f"its {kind} {shown(name)} computes by itself, and Optuna makes none that does")
