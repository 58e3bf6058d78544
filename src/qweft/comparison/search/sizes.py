"""`qweft tune` with a space: configurations of one adapter, trained and judged on the validation rows.

Several processes with one output folder share the trials. A trial is known by its folder: one process makes it, and the
others read its record.
"""

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.comparison.checks import for_search
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.report.table import Rows, table_of
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.run.context import Context
from qweft.comparison.run.set_up import set_up
from qweft.comparison.run.trial import run_trial
from qweft.comparison.run.workers import shared_output, trials
from qweft.comparison.search.configurations import (
    AdapterSpace,
    Configuration,
    adapter_space,
    check_sizes,
    format_axis,
    format_configuration,
)
from qweft.comparison.search.propose import EarlierTrial, SizeCounter, check_something_fits, propose
from qweft.comparison.search.sizes_report import FIGURE, SizeTrial, best_of, front_of, sizes_figure, sizes_table
from qweft.comparison.search.space import TuneConfig
from qweft.comparison.timing import Budget, budget_of, duration
from qweft.core.output import Console
from qweft.core.records import write_record
from qweft.core.text import many
from qweft.models.load import load_model

FILE = "sizes.json"
TIME_SPENT = "the time of the budget was spent"
EXHAUSTED = "the space has no further configuration within the budget"
"""Why no further trial starts."""


@dataclass
class SizeSearch:
    """The trials of a search over sizes, as one process works through them."""

    config: TuneConfig
    space: AdapterSpace
    counter: SizeCounter
    context: Context
    configurations: list[Configuration] = field(default_factory=list)  # of the trials from 0 on, made or not
    trials: dict[int, SizeTrial] = field(default_factory=dict)  # the finished ones
    dropped: set[int] = field(default_factory=set)  # numbers of trials that are not made
    reason: str | None = None  # why some are not

    @property
    def budget(self) -> Budget:
        """The most time and parameters."""
        return budget_of(self.config.budget)

    @property
    def seed(self) -> int:
        """The seed of all trainings and draws."""
        return self.config.seeds[0]

    @property
    def remaining(self) -> list[int]:
        """Numbers of the trials that are neither finished nor dropped."""
        return [
            number for number in range(self.config.trials) if number not in self.trials and number not in self.dropped
        ]

    def advance(self, number: int) -> SizeTrial | str | None:
        """Return the finished trial, or why it is not made; `None` while what it needs is being made."""
        if not self._has_configuration(number):
            if self.reason is None:
                return None
            return self._drop(number, self.reason)
        folder = self.context.output / f"trial-{number:03d}"
        if self._time_is_spent() and not folder.exists():  # one that was begun is finished
            return self._drop(number, TIME_SPENT)

        configuration = self.configurations[number]
        adapter = self.space.adapter_at(configuration)
        parameters = self.counter.size_of(configuration).parameters
        method = Method(folder.name, adapter, self.space.learning_rate_at(configuration), parameters)
        run = run_trial(self.context, method, self.seed, folder, keep_adapter=False)
        if run is None:
            return None
        self.trials[number] = SizeTrial(number, configuration, run)
        return self.trials[number]

    def _has_configuration(self, number: int) -> bool:
        """Propose up to a trial; false at the end of the space, and while trials run that a proposal learns from."""
        while len(self.configurations) <= number:
            learned = range(len(self.configurations) - self.config.at_once + 1)
            if self.reason == EXHAUSTED or any(trial not in self.trials for trial in learned):
                return False
            earlier = [
                EarlierTrial(configuration, self.trials[trial].loss if trial in learned else None)
                for trial, configuration in enumerate(self.configurations)
            ]
            configuration = propose(self.space, self.counter, earlier, self.seed)
            if configuration is None:
                self.reason = EXHAUSTED
                return False
            self.configurations.append(configuration)
        return True

    def _time_is_spent(self) -> bool:
        seconds = math.fsum(trial.run.seconds or 0.0 for trial in self.trials.values())
        return self.budget.seconds is not None and seconds >= self.budget.seconds

    def _drop(self, number: int, reason: str) -> str:
        self.dropped.add(number)
        self.reason = reason
        return reason


def describe_sizes(config: TuneConfig) -> Group:
    """Return what varies and how many trials there are, for the terminal; nothing is trained or written."""
    space, _ = _resolve(config)
    rows: Rows = [("field", "values")]
    for name, axis in space.axes.items():
        rows.append((name, format_axis(axis)))
    table = table_of(rows, f"{config.model.name} on {config.data.source}")
    return Group(table, Text(f"at most {many(config.trials, 'trial')}{_format_limits(config)}"))


def _format_limits(config: TuneConfig) -> str:
    """Return the limits of the budget as the end of a sentence."""
    limits = budget_of(config.budget)
    parts = []
    if limits.parameters is not None:
        parts.append(f" of at most {limits.parameters:,} parameters")
    if limits.seconds is not None:
        parts.append(f" in about {duration(limits.seconds)}")
    return "".join(parts)


def _resolve(config: TuneConfig) -> tuple[AdapterSpace, SizeCounter]:
    """Check a search, and return its space and what counts its sizes; only the model's shapes are loaded."""
    check_sizes(config)
    space = adapter_space(config)
    shapes = load_model(replace(config.model, device="meta"))
    most = budget_of(config.budget).parameters
    counter = SizeCounter(space, shapes.model, most, config.training.learning_rates)
    check_something_fits(space, counter, config.seeds[0])
    return space, counter


def tune_sizes(config: TuneConfig, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Make the missing trials, and write their record and a plot."""
    output = Path(config.output)
    with shared_output("qweft tune", config):
        check_free_of_others(output, "search over sizes", {"space", "trials"}, [FILE, f"{FIGURE}.png"])
        space, counter = _resolve(config)
        context = replace(set_up(_shared_by_trials(config), Console()), takes_failures=True)
        begin()
        with closing(context):
            base = _base_run(context)
            search = SizeSearch(config, space, counter, context)
            _make_trials(search)
        _write(search, base, command)
    return output / FILE


def _shared_by_trials(config: TuneConfig) -> ComparisonConfig:
    """Return what all trials share: short trainings, judged by the loss on the validation rows alone."""
    alone = for_search(config)
    judging = replace(alone.evaluation, answers=0)
    training = config.training
    if config.search_steps is not None:
        training = replace(training, max_steps=config.search_steps)
    return replace(alone, evaluation=judging, training=training, seeds=config.seeds[:1])


def _base_run(context: Context) -> Run:
    """Return the untouched model's run, made by whichever process is first."""
    while True:
        run = run_trial(context, None, context.first_seed, context.output / BASE)
        if run is not None:
            return run
        context.wait()


def _make_trials(search: SizeSearch) -> None:
    """Make all trials, and print a line on each."""
    for _, trial in trials(lambda: search.remaining, search.advance, search.context.wait):
        if not isinstance(trial, SizeTrial):
            continue
        outcome = f"validation loss {trial.loss:.4f}" if math.isfinite(trial.loss) else trial.outcome
        best = best_of(list(search.trials.values()))
        search.context.console.say(
            f"[{len(search.trials)}/{search.config.trials}] trial {trial.number}: "
            f"{format_configuration(trial.values)}; {trial.run.trainable_parameters:,} parameters, {outcome}, "
            f"best so far: {'none' if best is None else f'trial {best.number}'}"
        )


def _write(search: SizeSearch, base: Run, command: str) -> None:
    """Write the record and the plot, and print the outcome."""
    output, console = search.context.output, search.context.console
    finished = [search.trials[number] for number in sorted(search.trials)]
    best = best_of(finished)
    record: dict[str, Any] = {
        "space": {name: format_axis(axis) for name, axis in search.space.axes.items()},
        "base_validation_loss": base.eval_loss,
        "trials": [trial.to_json() for trial in finished],
        "best": None if best is None else best.number,
        "front": front_of(finished),
        "ended": search.reason,
        "environment": search.context.environment(command),
        "config": asdict(search.config),
    }
    write_record(output / FILE, record)
    figure = sizes_figure(finished, base.eval_loss)
    if figure is not None:
        figure.write(output)
    title = f"{search.config.model.name} on {search.config.data.source}: {many(len(finished), 'trial')}"
    console.print(sizes_table(finished, title))
    for sentence in _outcome(search, best, base):
        console.say(sentence)


def _outcome(search: SizeSearch, best: SizeTrial | None, base: Run) -> list[str]:
    """Return the outcome of a search in sentences."""
    sentences = []
    if search.reason is not None:
        sentences.append(f"No further trial: {search.reason}.")
    failed = [number for number, trial in search.trials.items() if trial.run.failure is not None]
    if failed:
        sentences.append(
            f"{many(len(failed), 'trial')} ran out of memory, the first of them trial {min(failed)}. Once more memory "
            "is free, remove their folders and give the same command again."
        )
    if best is None:
        return [*sentences, "No trial has a loss: lower the learning rates."]
    if base.eval_loss is not None:
        sentences.append(f"The untouched model has a validation loss of {base.eval_loss:.4f}.")
    sentences.append(
        f"The best is trial {best.number} ({format_configuration(best.values)}): "
        f"{best.run.trainable_parameters:,} parameters, validation loss {best.loss:.4f}."
    )
    return sentences
