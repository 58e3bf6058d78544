"""`sweep`: proposes trials, runs them and writes the results."""

import hashlib
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME

from qweft.adapter.attach import detach
from qweft.comparison.claims import claimed, done_by_any, shared_output
from qweft.comparison.context import Context, RunSettings
from qweft.comparison.executors.set_up import set_up
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.trial import ADAPTER, run_trial
from qweft.errors import QweftError
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.saved import check_runs, put_on
from qweft.method.effective import ENDS, needs_rows_first
from qweft.method.specification import default_rate
from qweft.models.load import load_model
from qweft.output import Console
from qweft.records import read_record, write_record
from qweft.sweep.config import SweepConfig
from qweft.sweep.outcome import Outcome, Trial, best_of
from qweft.sweep.proposals import Fitting, Known, draw, propose
from qweft.sweep.report import check_swept, lines, write
from qweft.sweep.space import Point, check_start, key_of, said, space_of, unread_said
from qweft.sweep.store import Store
from qweft.text import many, progress

RECORD = "test.json"
"""File of the test losses, in the trial's folder."""


def tested(context: Context, adapter: dict[str, Any], folder: Path) -> dict[str, float | None] | None:
    """Return the test losses of the untouched model and of a trial; `None` while another process evaluates."""
    with claimed(folder) as ours:
        if not ours:
            return None
        if not (folder / RECORD).is_file():
            names = (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME)
            files = {name: (folder / ADAPTER / name).read_bytes() for name in names}
            write_record(folder / RECORD, context.executor.call(context, losses, adapter, files))
        way = "remove that file to evaluate the trial on the test rows again"
        found = read_record(folder / RECORD, way)
        if not all(isinstance(found.get(name, ""), float | None) for name in ("base", "adapted", "standard_error")):
            raise QweftError(f"{folder / RECORD} is not a record of this program; {way}")
        return found


def losses(context: Context, adapter: dict[str, Any], files: dict[str, bytes]) -> dict[str, float | None]:
    """Evaluate the test losses in a process that holds the base model's weights."""
    rows, pad, batch = context.data.test, context.loaded.tokenizer.pad_token_id, context.settings.evaluation.batch_size
    base = held_out_loss(context.loaded.model, rows, pad, batch)
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own) / "adapter"  # beside it a record would be read, which others can write in /tmp
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        model = put_on(context.loaded, folder)
        check_runs(model, context.loaded, folder)
    found = held_out_loss(model, rows, pad, batch)
    detach(model)
    return {"base": base.loss, "adapted": found.loss, "standard_error": found.standard_error}


SPENT = "The time was spent after {}."
EXHAUSTED = "The space has no further configuration within the budget after {}."
"""Why no further trial starts."""


@dataclass
class Sweep:
    """The trials of a sweep, as one process works through them."""

    config: SweepConfig
    fitting: Fitting
    context: Context
    store: Store
    trials: dict[int, Trial] = field(default_factory=dict)
    ended: str | None = None
    proposed: int = 0

    def base(self) -> Run | None:
        """Return the untouched model's run; `None` while another process makes it."""
        return run_trial(self.context, None, self.context.settings.first_seed, self._folder(None))

    def advance(self, number: int) -> Trial | str | None:
        """Return the finished trial, or the reason why it is not run."""
        point = self._point(number)
        if point is None or isinstance(point, str):
            return point
        adapter, training = self.fitting.space.resolved(point)
        parameters = self.fitting.parameters(point)
        rate = training.learning_rate or default_rate(adapter)[0]
        method = Method(f"trial-{number:03d}", adapter, rate, parameters)
        context = replace(self.context, settings=replace(self.context.settings, training=training))
        run = run_trial(context, method, training.seed, self._folder(number))
        if run is None:
            return None
        self.trials[number] = Trial(number, point, run)
        return self.trials[number]

    def _point(self, number: int) -> Point | str | None:
        looks_at = range(number - self.config.at_once + 1) if self.config.sampler == "tpe" else range(0)
        if any(earlier not in self.trials for earlier in looks_at):
            return self.ended
        if self.ended and number >= self.proposed:
            return self.ended
        with self.store.alone():
            points = self.store.points()
            self.proposed = len(points)
            if number < len(points):
                return points[number]
            if self.ended or number > len(points):
                return self.ended
            taken = math.fsum(trial.run.seconds or 0.0 for trial in self.trials.values())
            if self.config.seconds is not None and taken >= self.config.seconds:
                self.ended = SPENT
                return self.ended
            known = [Known(point, self._loss(at) if at in looks_at else None) for at, point in enumerate(points)]
            before = self.fitting.refused
            point = propose(self.config, self.fitting, known)
            if point is None:
                self.ended = EXHAUSTED
                return self.ended
            self.store.add(point, self.fitting.refused - before)
            return point

    def _loss(self, number: int) -> float:
        loss = self.trials[number].run.eval_loss
        return math.inf if loss is None else loss

    def _folder(self, number: int | None) -> Path:
        return self.context.output / ("base" if number is None else f"trial-{number:03d}")


def sweep(config: SweepConfig, config_yaml: str, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Make the missing trials and write the results."""
    with shared_output("qweft sweep", config):
        return _sweep(config, config_yaml, command, begin)


def _sweep(config: SweepConfig, config_yaml: str, command: str, begin: Callable[[], None]) -> Path:
    console = Console()
    check_start(config, needs_weights=True)
    check_swept(Path(config.output))
    if told := unread_said(config):
        console.say(told)
    space = space_of(config)
    fitting = Fitting(space, config.max_parameters, load_model(replace(config.model, device="meta")).model)
    check_something_fits(config, fitting)
    context = set_up(shared(config), config.executor, config.workers, console)
    with closing(context.executor):
        check_room(context.loaded.model, context.data.test)  # which the best trial reads, after all others
        store = Store(context.output, _decides(context, config))
        begin()
        here = Sweep(config, fitting, context, store)
        base = _made(here, console)
        trials = [here.trials[number] for number in sorted(here.trials)]
        best = best_of(trials)
        test = None
        if best is not None and context.data.test:
            task = partial(tested, context, best.run.adapter or {}, context.output / f"trial-{best.number:03d}")
            test = next(found for _, found in done_by_any([task], context.executor.wait))
    found = Outcome(
        title=f"{config.model.name} on {config.data.source}: {len(trials)} trials",
        axes=space.axes,
        trials=trials,
        base_loss=base.eval_loss,
        test=test,
        refused=store.refused(len(trials)),
        ended=(here.ended or "{} made.").format(many(len(trials), "trial")),
        config_yaml=config_yaml,
        environment=context.environment(command),
        judged=len(list(context.output.glob(f"trial-*/{RECORD}"))),
    )
    page = write(found, context.output)
    for line in lines(found):
        console.print(line, highlight=False)
    return page


def _made(here: Sweep, console: Console) -> Run:
    """Make all trials; return the untouched model's run."""
    base, begun = None, time.perf_counter()
    tasks: list[Any] = [here.base, *(partial(here.advance, number) for number in range(here.config.trials))]
    for _, found in done_by_any(tasks, here.context.executor.wait):
        if isinstance(found, Run):
            base = found
        if not isinstance(found, Trial):
            continue
        values = ", ".join(f"{name} {said(value)}" for name, value in found.point.items())
        loss = found.ended if found.run.eval_loss is None else f"validation loss {found.run.eval_loss:.4f}"
        best = best_of(list(here.trials.values()))
        console.print(
            f"[{len(here.trials)}/{here.config.trials}] trial {found.number}: {values}; "
            f"{found.run.trainable_parameters:,} parameters, {loss}, best so far: trial {best.number if best else '-'} "
            f"(took {found.run.seconds or 0:.0f} s, {time.perf_counter() - begun:.0f} s since the start)",
            highlight=False,
        )
    assert base is not None
    return base


def shared(config: SweepConfig) -> RunSettings:
    """Return what the trials share, as the runs of a comparison do; they are evaluated on the validation rows."""
    return RunSettings(
        model=config.model,
        data=config.data,
        training=config.training,
        evaluation=replace(config.evaluation, split="validation", answers=0, forgetting=None),
        first_seed=config.training.seed,
        inspect=False,
        output=config.output,
        takes_failures=True,
    )


@progress("looking for what fits")
def check_something_fits(config: SweepConfig, fitting: Fitting) -> None:
    """Check that the space has a configuration within the budget."""
    if propose(config, fitting, []) is None:
        some = draw(fitting.space.axes, config.seed, [], 0, learning=False)
        values = ", ".join(f"{name} {said(value)}" for name, value in some.items())
        most = fitting.max_parameters
        limit = "" if most is None else f" within max_parameters {most:,}"
        raise QweftError(f"no configuration of the space can be trained{limit}; {values}: {fitting.reason(some)}")


def _decides(context: Context, config: SweepConfig) -> str:
    """Return a hash of everything that determines a trial's result, but not the number of trials or processes."""
    decides = {
        "model": [context.loaded.source.origin, str(context.loaded.dtype), context.loaded.device.type],
        "data": context.data.report.fingerprint,
        "training": config.training.decides(
            needs_rows_first(config.adapter) or not {*ENDS}.isdisjoint(config.space.adapter)
        ),
        "evaluation": asdict(context.settings.evaluation),
        "adapter": config.adapter,
        "space": asdict(config.space),
        "budget": config.max_parameters,
        "sampler": [config.sampler, config.at_once, config.seed],
    }
    return hashlib.sha256(key_of(decides).encode()).hexdigest()
