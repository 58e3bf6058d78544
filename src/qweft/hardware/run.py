"""`qweft evaluate ADAPTER --device ...`: a trained adapter with its circuits measured on a device."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from qweft.data.load import load_data
from qweft.devices.jobs import Budget, Executor, confirm
from qweft.devices.mitigation import make_mitigation
from qweft.environment import environment
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.saved import put_on, sections_of
from qweft.files import check_writable
from qweft.hardware.bench import Bench, make_bench
from qweft.hardware.config import HardwareConfig
from qweft.hardware.cost import estimate_run, make_budget
from qweft.hardware.grid import Grid, make_grid
from qweft.hardware.outcome import Judged, Point, Robustness
from qweft.hardware.write import write
from qweft.models.load import load_model


def evaluate_on_device(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: HardwareConfig,
    command: str = "",
    console: Console | None = None,
    yes: bool = False,
    dry_run: bool = False,
) -> Robustness | None:
    """Judge an adapter at every number of shots and strength of noise, beside itself computed exactly.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Keys of the sections model, data and evaluation that differ from the run that trained it.
        config: How its circuits are measured.
        command: The command line, for the record.
        console: Where progress is told.
        yes: Whether the user agrees already to what is sent to a device that takes jobs or costs money.
        dry_run: Tell what would be measured and what it takes, and stop.

    Returns:
        What was found, also written to the output folder; none of a dry run.

    Raises:
        QweftError: If anything in the config is wrong, or the user does not agree; before anything is measured.
    """
    console = console or Console()
    model_config, data_config, judging = sections_of(adapter, dict(overrides))
    check_evaluation(judging, data_config)
    grid = make_grid(config)
    budget = make_budget(config, grid)
    mitigation = make_mitigation(config.readout, tuple(config.zne) if config.zne else None, config.extrapolation)
    output = Path(config.output or adapter.parent / f"robustness-{config.device.replace(':', '-')}")
    if not dry_run:
        check_writable(output)
    loaded = load_model(model_config)
    data = load_data(data_config, loaded.tokenizer)
    bench = make_bench(loaded, put_on(loaded, adapter), data, judging, config, mitigation)
    plan = estimate_run(grid, budget, bench.sample, len(bench.layers), bench.rate)
    console.print(f"{bench.measures}, {len(grid.settings)} settings, at most {plan.circuits:,} circuits")
    if dry_run:
        console.print(plan.describe())
        return None
    confirm(plan, yes)
    with bench.model.disable_adapter():
        base = bench.judge()
    exact = bench.judge()
    points = tuple(_points(grid, budget, bench, exact, console))
    found = Robustness(
        str(adapter), f"{data_config.source} ({judging.split})", config.device,
        grid.identity, bench.measures, tuple(bench.layers), base.loss.loss,
        exact.loss.loss, tuple(each.prompt[-1].content for each in bench.conversations), exact.answers, points,
        environment(
            loaded.source.origin, data.report.fingerprint, command, str(loaded.device),
            str(loaded.dtype).removeprefix("torch."),
        ),
    )  # fmt: skip
    console.print(f"written to {write(found, output)}", highlight=False, soft_wrap=True)
    return found


def _points(grid: Grid, budget: Budget, bench: Bench, exact: Judged, console: Console) -> Iterator[Point]:
    """Every setting measured, one after the other, each told when it is done."""
    for setting in grid.settings:
        executor = Executor(grid.devices[setting.noise_scale], budget=budget, tell=console.print)
        found = bench.measure(executor, setting, exact)
        shots = "exact probabilities" if setting.shots is None else f"{setting.shots:,} shots"
        console.print(
            f"noise x {setting.noise_scale:g}, {shots}: loss {found.loss:.4f}, {found.circuits:,} circuits, "
            f"{found.seconds:.0f} s",
            highlight=False,
        )
        yield found
