"""`qweft evaluate ADAPTER --device ...`: evaluates a trained adapter with its circuits measured on a device."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from qweft.claims import check_state, claimed_output, keep_earlier, state_of
from qweft.data.load import load_data
from qweft.devices.jobs import Budget, Executor, Retry, confirm
from qweft.environment import environment
from qweft.errors import QweftError, saying_when_stopped
from qweft.evaluation.generation import prompt_of
from qweft.evaluation.saved import base_model, changed, put_on, weights_of
from qweft.evaluation.unseen import check_unseen
from qweft.files import stamp
from qweft.models.load import load_model
from qweft.output import Console
from qweft.records import read_record
from qweft.robustness.checks import check_start
from qweft.robustness.config import RobustnessConfig
from qweft.robustness.context import Context, make_context
from qweft.robustness.cost import Plan, estimate_run
from qweft.robustness.describe import one_line
from qweft.robustness.grid import Grid
from qweft.robustness.outcome import Computed, Point, Robustness, Scored
from qweft.robustness.report import NUMBERS, write, written


def evaluate_on_device(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: RobustnessConfig,
    command: str = "",
    console: Console | None = None,
    yes: bool = False,
    dry_run: bool = False,
) -> Robustness | Plan:
    """Evaluates an adapter at each number of shots and noise scale, compared with exact computation.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Keys of the sections model, data and evaluation that differ from the training run.
        config: Options of the measurement.
        command: The command line, which is recorded.
        console: Where progress is printed; `None` means standard output.
        yes: Skip the confirmation for devices that take jobs or cost money.
        dry_run: Stop before anything is measured.

    Returns:
        The results, or the plan for a dry run. The output folder is rewritten after each setting, so an interrupted run
        leaves its results.

    Raises:
        QweftError: Before any measurement, if an option is invalid, a cap is exceeded or the user declines; later, if
            the device fails.
    """
    console = console or Console()
    model_config, data_config, evaluation, grid, budget, mitigation, output = check_start(adapter, overrides, config)
    before_it = stamp(output / NUMBERS)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(claimed_output(output, "qweft evaluate"))
        stack.enter_context(saying_when_stopped(lambda: _kept(output, before_it)))
        state = state_of(adapter)
        loaded = load_model(model_config)
        data = load_data(data_config, loaded.tokenizer)
        check_unseen(adapter, overrides, data, evaluation.split, loaded.tokenizer)
        before = weights_of(loaded.model, adapter)
        context = make_context(put_on(loaded, adapter), data, evaluation, config, mitigation, grid)
        dtype = str(loaded.dtype).removeprefix("torch.")
        plan = Plan(
            context.measures,
            dtype,
            len(grid.settings),
            estimate_run(grid, budget, context.sample, len(context.layers), context.rate, context.draw),
        )
        if dry_run:
            return plan
        console.print(plan.headline(), highlight=False)
        confirm(plan.estimate, yes)
        with base_model(changed(before, context.model), context.model, model_config) as untouched:
            base = replace(context, model=untouched).score()
        exact = context.score_exactly()
        prompts = tuple(prompt_of(each, data.tokenizer).shown for each in context.conversations)
        found = Robustness(
            str(adapter), f"{data_config.source_of(evaluation.split)} ({evaluation.split})", config.device,
            grid.identity, grid.has_noise, config.mitigation,
            context.measures, context.sample, tuple(context.layers), Computed.of(base, exact),
            prompts, (), len(grid.settings), asdict(config),
            environment(loaded.source.origin, data.report.fingerprint, command, str(loaded.device), dtype),
        )  # fmt: skip
        begun_before = _keep_earlier(output, found, console)
        try:
            for point in _points(grid, budget, context, exact, config, console):
                check_state(adapter, state)
                found = replace(found, points=(*found.points, point))
                if len(found.points) >= begun_before:  # stopped again, it leaves no fewer than before
                    page = write(found, output)
                console.print(one_line(found, point), highlight=False)
        except QweftError:
            if found.points:
                whose = "an earlier try" if len(found.points) < begun_before else "this try"
                console.print(f"what {whose} measured is in {output}", highlight=False, soft_wrap=True)
            raise
        console.print(f"written to {page}", highlight=False, soft_wrap=True)
        return found


SAME = ("adapter", "data", "device", "config", "computed", "sample")
"""Parts of a report that are those of one command on one adapter. `computed` are its numbers without a device."""


def _keep_earlier(output: Path, found: Robustness, console: Console) -> int:
    """Renames the files of an earlier report, unless it is the unfinished one of this command.

    Returns:
        Number of settings that this command has measured before.
    """
    there = written(output)
    if not there:
        return 0
    own = json.loads(json.dumps(found.to_json()))
    with suppress(QweftError):
        earlier = read_record(output / NUMBERS, "remove it")
        points = earlier.get("points")
        begun = len(points) if isinstance(points, list) else found.planned
        if begun < found.planned and all(earlier.get(name) == own[name] for name in SAME):
            return begun
    aside = keep_earlier(output, "robustness", there[::-1])  # the numbers last: they tell whose the others are
    console.print(f"the earlier report in {output} is now in {aside}", highlight=False, soft_wrap=True)
    return 0


def _kept(output: Path, before: tuple[int, int] | None) -> str:
    now = stamp(output / NUMBERS)
    said = "no setting was measured to its end"
    if now is not None:
        said = f"what {'an earlier' if now == before else 'this'} try measured is in {output}"
    return f"{said}; the same command begins anew, and takes up the jobs that were sent"


def _points(
    grid: Grid, budget: Budget, context: Context, exact: Scored, config: RobustnessConfig, console: Console
) -> Iterator[Point]:
    """Yields the point of each setting in turn."""
    tell = partial(console.print, highlight=False, soft_wrap=True)  # text from a provider
    for setting in grid.settings:
        executor = Executor(
            grid.devices[setting.noise_scale], budget=budget, retry=Retry(timeout=config.timeout),
            any_calibration=config.any_calibration, tell=tell,
        )  # fmt: skip
        yield context.measure(executor, setting, exact)
