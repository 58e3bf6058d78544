"""The sweep's Optuna study: a SQLite file in its folder, which its processes share."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qweft.comparison.results import Run
from qweft.errors import QweftError
from qweft.files import locked
from qweft.sweep.proposals import frozen, optuna
from qweft.sweep.space import Axis, Point

FILE = "study.db"
LOCK = ".study.lock"
NAME = "qweft"
CONFIGURATION = "configuration"
REFUSED = "refused_before"
SECONDS_BETWEEN_LOOKS = 0.05


class Store:
    """What was proposed, and what came of it.

    A trial is written down before it is made, so that all processes make the same ones. What a run gave is in its own
    folder; the study holds it for Optuna's tools (optuna-dashboard sqlite:///FOLDER/study.db).

    Args:
        folder: The sweep's.
        axes: Of the space.
        configuration: A hash of what decides the outcome of trials.
    """

    def __init__(self, folder: Path, axes: Sequence[Axis], configuration: str):
        self.folder, self.axes = folder, axes
        with self.alone():
            try:
                self.study = self._open()
            except Exception as error:  # of Optuna, of SQLAlchemy, of SQLite
                raise QweftError(
                    f"{folder / FILE} cannot be read as the study of a sweep ({str(error).splitlines()[0][:200]}); "
                    "remove that file: finished trials are kept in their folders"
                ) from error
            known = self.study.user_attrs.get(CONFIGURATION)
            if known not in (None, configuration):
                raise QweftError(f"{folder} holds a sweep of another configuration; choose another --output")
            if known is None:
                self.study.set_user_attr(CONFIGURATION, configuration)

    def _open(self) -> Any:
        package = optuna()
        waiting = {"connect_args": {"timeout": 60}}
        self._storage = package.storages.RDBStorage(
            f"sqlite:///{(self.folder / FILE).absolute()}", engine_kwargs=waiting
        )
        return package.create_study(study_name=NAME, storage=self._storage, direction="minimize", load_if_exists=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the block runs, no other process of the sweep is in such a block."""
        while True:
            with locked(self.folder / LOCK) as held:
                if held is not False:
                    yield
                    return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def points(self) -> list[Point]:
        """The configurations of all trials, by number."""
        return [
            {axis.name: axis.decoded(trial.params[axis.name]) for axis in self.axes}
            for trial in self.study.get_trials(deepcopy=False)
        ]

    def add(self, point: Point, parameters: int, refused: int) -> None:
        """Write down the next trial.

        Args:
            point: Its configuration.
            parameters: What it trains.
            refused: So many draws did not fit before it was drawn.
        """
        trial = frozen(self.axes, point, None)
        trial.set_user_attr("trainable_parameters", parameters)
        trial.set_user_attr(REFUSED, refused)
        self.study.add_trial(trial)

    def refused(self, trials: int) -> int:
        """So many draws did not fit before the first so many trials were drawn."""
        return sum(trial.user_attrs.get(REFUSED, 0) for trial in self.study.get_trials(deepcopy=False)[:trials])

    def finish(self, number: int, run: Run) -> None:
        """Write down what a trial gave, once; a diverged one is pruned, with the losses that it had."""
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
