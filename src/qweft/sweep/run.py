"""`sweep`: makes the trials and writes the results."""

import math
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME

from qweft.adapter.attach import detach
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.run.context import Context
from qweft.comparison.run.set_up import set_up
from qweft.comparison.run.trial import ADAPTER, run_trial
from qweft.comparison.run.workers import alone, shared_output, trials
from qweft.core.output import Console
from qweft.core.records import read_record, write_record
from qweft.core.text import many
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.saved import check_runs, put_on
from qweft.method.specification import default_rate
from qweft.models.load import load_model
from qweft.sweep.config import SweepConfig
from qweft.sweep.propose import Fitting, Known, check_something_fits, propose
from qweft.sweep.report import FIGURE, NUMBERS, PAGE, Trial, best_of, write
from qweft.sweep.space import Point, axis_said, check_start, point_said, space_of

RECORD = "test.json"
"""File of the test losses, in the trial's folder."""
SPENT = "The time was spent after {}."
EXHAUSTED = "The space has no further configuration within the budget after {}."
"""Why no further trial starts."""


@dataclass
class Sweep:
    """The trials of a sweep, as one process works through them."""

    config: SweepConfig
    fitting: Fitting
    context: Context
    points: list[Point] = field(default_factory=list)
    trials: dict[int, Trial] = field(default_factory=dict)
    ended: str | None = None

    def base(self) -> Run | None:
        """Return the untouched model's run; `None` while another process makes it."""
        return run_trial(self.context, None, self.context.first_seed, self.context.output / "base")

    def advance(self, number: int) -> Trial | str | None:
        """Return the finished trial, or the reason why it is not run; `None` while what it needs is being made."""
        while len(self.points) <= number:
            point = self._next()
            if point is None:
                return self.ended
            self.points.append(point)
        point, folder = self.points[number], self.folder(number)
        taken = math.fsum(trial.run.seconds or 0.0 for trial in self.trials.values())
        if self.config.seconds is not None and taken >= self.config.seconds and not folder.exists():
            self.ended = SPENT
            return self.ended
        adapter, training = self.fitting.space.resolved(point)
        rate = training.learning_rate or default_rate(adapter)[0]
        method = Method(f"trial-{number:03d}", adapter, rate, int(self.fitting.parameters(point)))
        context = replace(self.context, config=replace(self.context.config, training=training))
        run = run_trial(context, method, training.seed, folder)
        if run is None:
            return None
        self.trials[number] = Trial(number, point, run)
        return self.trials[number]

    def _next(self) -> Point | None:
        """Return the next configuration; `None` at the end, or until the trials are finished that it learns from."""
        learns_from = range(len(self.points) - self.config.at_once + 1) if self.config.sampler == "tpe" else range(0)
        if self.ended == EXHAUSTED or any(earlier not in self.trials for earlier in learns_from):
            return None
        losses = {at: self.trials[at].loss for at in learns_from}
        known = [Known(point, losses.get(at)) for at, point in enumerate(self.points)]
        point = propose(self.config, self.fitting, known)
        if point is None:
            self.ended = self.ended or EXHAUSTED
        return point

    def folder(self, number: int) -> Path:
        """Return the folder of a trial."""
        return self.context.output / f"trial-{number:03d}"


def sweep(config: SweepConfig, config_yaml: str, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Make the missing trials and write the results; several processes with one output folder share the trials."""
    console, output = Console(), Path(config.output)
    with shared_output("qweft sweep", config):
        check_start(config, needs_weights=True)
        check_free_of_others(output, "sweep", {"space", "trials"}, [NUMBERS, PAGE, f"{FIGURE}.png"])
        space = space_of(config)
        fitting = Fitting(space, config.max_parameters, load_model(replace(config.model, device="meta")).model)
        check_something_fits(config, fitting)
        context = replace(set_up(shared(config), console), takes_failures=True)
        with closing(context):
            check_room(context.loaded.model, context.data.test)  # which the best trial reads, after all others
            begin()
            here = Sweep(config, fitting, context)
            base = _made(here, console)
            made = [here.trials[number] for number in sorted(here.trials)]
            best, test = best_of(made), None
            if best is not None and context.data.test:
                test = tested(context, here.folder(best.number))
        record = {
            "title": f"{config.model.name} on {config.data.source}: {len(made)} trials",
            "space": {name: axis_said(axis) for name, axis in space.axes.items()},
            "base_validation_loss": base.eval_loss,
            "test": test,
            "ended": (here.ended or "{} made.").format(many(len(made), "trial")),
            "environment": context.environment(command),
            "config_yaml": config_yaml,
        }
        judged = len(list(output.glob(f"trial-*/{RECORD}")))
        console.print(write(record, made, judged, output).rstrip(), highlight=False)
    return output / PAGE


def _made(here: Sweep, console: Console) -> Run:
    """Make all trials; return the untouched model's run."""
    base, ended = None, set[int]()
    for number, found in trials(
        lambda: [number for number in range(-1, here.config.trials) if number not in ended],
        lambda number: here.base() if number < 0 else here.advance(number),
        here.context.wait,
    ):
        ended.add(number)
        if isinstance(found, Run):
            base = found
        if not isinstance(found, Trial):
            continue
        loss = f"validation loss {found.loss:.4f}" if math.isfinite(found.loss) else found.ended
        best = best_of(list(here.trials.values()))
        console.print(
            f"[{len(here.trials)}/{here.config.trials}] trial {found.number}: {point_said(found.point)}; "
            f"{found.run.trainable_parameters:,} parameters, {loss}, best so far: trial {best.number if best else '-'}",
            highlight=False,
        )
    assert base is not None
    return base


def shared(config: SweepConfig) -> ComparisonConfig:
    """Return what the trials share, as the runs of a comparison do; they are evaluated on the validation rows."""
    judging = replace(config.evaluation, split="validation", answers=0, forgetting=None)
    same = {name: getattr(config, name) for name in ("model", "data", "training", "executor", "workers", "output")}
    return ComparisonConfig(methods={}, evaluation=judging, seeds=[config.training.seed], **same)


def tested(context: Context, folder: Path) -> dict[str, Any]:
    """Return the test losses of the untouched model and of a trial."""
    with alone(folder):
        if not (folder / RECORD).is_file():
            names = (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME)
            files = {name: (folder / ADAPTER / name).read_bytes() for name in names}
            write_record(folder / RECORD, context.call(losses, files))
    return read_record(folder / RECORD, "remove that file to evaluate the trial on the test rows again")


def losses(context: Context, files: dict[str, bytes]) -> dict[str, float | None]:
    """Evaluate the test losses in a process that holds the base model's weights."""
    rows, pad, batch = context.data.test, context.loaded.tokenizer.pad_token_id, context.config.evaluation.batch_size
    base = held_out_loss(context.loaded.model, rows, pad, batch)
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own) / "adapter"  # beside it a record would be read, which others can write in /tmp
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        model = put_on(context.loaded, folder)
        check_runs(model, context.loaded, folder)
    adapted = held_out_loss(model, rows, pad, batch)
    detach(model)
    return {"base": base.loss, "adapted": adapted.loss, "standard_error": adapted.standard_error}
