"""`qweft evaluate ADAPTER --device ...`: evaluates a trained adapter with its circuits measured on a device."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.adapter.cores import Measure
from qweft.circuit import Circuit, expectation_values
from qweft.core.claims import claimed_output
from qweft.core.environment import environment
from qweft.core.errors import saying_when_stopped
from qweft.core.files import free_name
from qweft.core.output import Console
from qweft.core.progress import progress
from qweft.core.records import write_record
from qweft.core.text import many
from qweft.devices import Measurer
from qweft.devices.jobs import Executor, Retry, confirm
from qweft.evaluation.loss import score_rows
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.plan import Grid, Setting, Wanted, check_start, estimated
from qweft.evaluation.on_device import check_qubits, circuit_layers, on_device
from qweft.evaluation.saved import Subject, load_subject
from qweft.evaluation.scores import CLEAR, HeldOutLoss, RowScore, Score, compare_losses, loss_of, ratio

NUMBERS = "robustness.json"
"""File with the results, written anew after each setting."""
HEADS = ("noise", "shots", "loss", "above exact", "same next token", "circuits")
LEGEND = (
    "loss: nats a target token; ±: one standard error over rows, paired; same next token: share of the targets whose "
    "most probable token stays what it is when computed exactly; circuits: those that had no result yet."
)


Scores = tuple[RowScore, ...]
"""The score of each row of a sample."""


@dataclass(frozen=True)
class Point:
    """The adapter at one setting beside exact computation: rise of the loss, share of equal tokens, new circuits."""

    setting: Setting
    loss: HeldOutLoss
    rise: float
    rise_error: float | None
    agreement: float
    agreement_error: float | None
    circuits: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, setting: Setting, measured: Scores, exact: Scores, circuits: int = 0, seconds: float = 0.0) -> "Point":
        """Compare the measured adapter with exact computation."""
        loss = loss_of(measured)
        rise = compare_losses(loss_of(exact), loss).difference
        pairs = [(a.predicted, b.predicted) for a, b in zip(measured, exact, strict=True)]
        agreement, error = ratio([(sum(map(eq, *pair)), len(pair[0])) for pair in pairs])
        return cls(
            setting=setting,
            loss=loss,
            rise=rise.value,
            rise_error=rise.standard_error,
            agreement=agreement,
            agreement_error=error,
            circuits=circuits,
            seconds=seconds,
        )

    @property
    def rise_text(self) -> str:
        """The rise of the loss with its standard error."""
        return f"{self.rise:+z.4f}" + ("" if self.rise_error is None else f" ± {self.rise_error:.4f}")


@dataclass(frozen=True)
class NoiseResults:
    """Results of a trained adapter on a device.

    `facts` has what is recorded of the run besides scores; its `identity` names all that the device's results depend on
    at noise scale 1, `planned` the number of settings. `base` is the base model's loss, `adapted` that of the adapter
    computed exactly, on the same rows.
    """

    facts: dict[str, Any]
    base: HeldOutLoss
    adapted: HeldOutLoss
    points: tuple[Point, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        scores = asdict(self)
        return {**scores.pop("facts"), **scores}

    @property
    def gain(self) -> Score:
        """Loss of the base model minus loss of the adapter computed exactly."""
        return compare_losses(self.adapted, self.base).difference

    def describe(self) -> Group:
        """Return the table of settings, its legend, and the findings, for the terminal."""
        facts = self.facts
        title = f"{facts['device']} on {facts['data']}: {facts['measures']}, model in {facts['environment']['dtype']}"
        title += f"; {facts['mitigation']}" if facts["mitigation"] else ""
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        first = slice(0 if facts["has_noise"] else 1, None)  # without a noise model the column of noise is left out
        for head in HEADS[first]:
            table.add_column(head, justify="right")
        table.add_row(*("", "computed", f"{self.adapted.loss:.4f}", "", "", "0")[first])
        for point in self.points:
            cells = (
                f"x {point.setting.noise_scale:g}",
                "all" if point.setting.shots is None else f"{point.setting.shots:,}",
                f"{point.loss.loss:.4f}",
                point.rise_text,
                f"{100 * point.agreement:.1f}%",
                f"{point.circuits:,}",
            )
            table.add_row(*cells[first])
        table.add_row(*("", "base model", f"{self.base.loss:.4f}", f"{self.gain.value:+.4f}", "", "0")[first])
        return Group(table, Text(LEGEND), Text(""), *map(Text, self.findings()))

    def findings(self) -> list[str]:
        """Return a sentence for each strength of noise on what is left of the adapter's gain."""
        last = {point.setting.noise_scale: point for point in self.points}
        return [
            (f"noise x {scale:g}: " if self.facts["has_noise"] else "") + self._share_left(point)
            for scale, point in last.items()
        ]

    def _share_left(self, last: Point) -> str:
        """Return a sentence on the share of the adapter's gain that is left at a point."""
        shots = "without shot noise" if last.setting.shots is None else f"at {many(last.setting.shots, 'shot')}"
        line = f"{shots} the loss is {last.rise_text} from the exact one"
        gain, error, spread = self.gain.value, self.gain.standard_error or 0.0, last.rise_error or 0.0
        if gain <= CLEAR * error:
            return f"{line}; the adapter does not clearly lower the base model's loss on these rows."
        left, spread = 100 * max(0.0, 1 - last.rise / gain), 100 * spread / gain
        return f"{line}: {left:.1f}% ± {spread:.1f}% of the adapter's gain of {gain:.4f} ± {error:.4f} are left."


def evaluate_on_device(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: NoiseConfig,
    command: str = "",
    console: Console | None = None,
    yes: bool | None = False,
) -> "NoiseResults | Measurement":
    """Evaluate an adapter at each number of shots and noise scale, beside exact computation.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Keys of the sections model, data and evaluation that differ from the training run.
        config: Options of the measurement.
        command: The command line, which is recorded.
        console: Where progress is printed; `None` means standard output.
        yes: Skip the confirmation for devices that take jobs or cost money; `None` stops before anything is measured.

    Returns:
        The results, or the planned measurement for a dry run. The output folder is rewritten after each setting, so an
        interrupted run leaves its results.

    Raises:
        QweftError: Before any measurement, if an option is invalid, a cap is exceeded or the user declines; later, if
            the device fails.
    """
    tell = partial((console or Console()).print, highlight=False, soft_wrap=True)
    sections, grid, output = check_start(adapter, overrides, config)
    if yes is None:
        return Measurement(load_subject(adapter, overrides, *sections), config, grid)
    numbers = output / NUMBERS
    points: list[Point] = []

    def what_is_kept() -> str:
        what = f"what was measured is in {numbers}" if points else "no setting was measured to its end"
        return f"{what}; the same command begins anew, and takes up the jobs that were sent"

    with claimed_output(output, "qweft evaluate"), saying_when_stopped(what_is_kept):
        measurement = Measurement(load_subject(adapter, overrides, *sections), config, grid)
        tell(measurement.headline)
        confirm(measurement.estimate, yes)
        with measurement.subject.base() as untouched:
            base = measurement.score(untouched)
        exact = measurement.score_with(in_float64)
        results = NoiseResults(measurement.facts(command), loss_of(base), loss_of(exact))
        if numbers.exists():
            tell(f"the earlier numbers are now {numbers.rename(free_name(numbers))}")
        for setting in grid.settings:
            executor = Executor(
                grid.devices[setting.noise_scale],
                budget=grid.budget,
                retry=Retry(timeout=config.timeout),
                any_calibration=config.any_calibration,
                tell=tell,
            )
            began, before = time.perf_counter(), grid.budget.spent
            measured = measurement.score_with(Measurer(executor, setting.shots, grid.mitigation))
            circuits, seconds = grid.budget.spent - before, time.perf_counter() - began
            point = Point.of(setting, measured, exact, circuits, seconds)
            points.append(point)
            results = replace(results, points=tuple(points))
            write_record(numbers, results.to_json())
            shots = "exact probabilities" if setting.shots is None else many(setting.shots, "shot")
            loss = f"loss {point.loss.loss:.4f}, {many(circuits, 'circuit')}, {seconds:.0f} s"
            tell(f"noise x {setting.noise_scale:g}, {shots}: {loss}")
        tell(f"written to {numbers}")
        return results


class Measurement:
    """What all settings have in common: the layers, the sample of rows, and what it takes."""

    def __init__(self, subject: Subject, config: NoiseConfig, grid: Grid) -> None:
        self.subject, self.config, self.grid = subject, config, grid
        self.layers = circuit_layers(subject.model, config.layers)
        circuits = {name: core.circuit for name, core in self.layers.items() if core.circuit is not None}
        for device in grid.devices.values():
            check_qubits(device, circuits)
        mitigation, forms = grid.mitigation, len(set(circuits.values()))
        wanted = Wanted(
            rows=subject.rows,
            which=config.tokens,
            batch_size=subject.judging.batch_size,
            circuits_a_token=len(self.layers) * mitigation.folds,
            circuits_once=2 * forms * mitigation.folds if mitigation.undoes_readout else 0,
        )
        self.choose = wanted.choose(subject.data.tokenizer.pad_token_id)
        self.sample = wanted.draw(config.max_circuits, config.seed)
        self.rows = [subject.rows[place] for place in self.sample.rows]
        tokens = "measured whole" if config.tokens == "all" else "measured at the tokens that predict a target"
        self.measures = (
            f"{len(self.rows)} of {many(len(subject.rows), 'row')}, {tokens}, {many(len(self.layers), 'layer')}"
        )
        self.estimate = estimated(self.sample, grid, len(self.layers), forms)

    @property
    def headline(self) -> str:
        """The plan in one line."""
        settings, circuits = many(len(self.grid.settings), "setting"), many(self.estimate.circuits, "circuit")
        return f"{self.measures}, model in {self.subject.dtype}; {settings}, at most {circuits}"

    def describe(self) -> Group:
        """Return the plan for the terminal."""
        return Group(Text(self.headline), self.estimate.describe())

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        settings, estimate = len(self.grid.settings), self.estimate.to_json()
        return {"measures": self.measures, "dtype": self.subject.dtype, "settings": settings, "estimate": estimate}

    def facts(self, command: str) -> dict[str, Any]:
        """Return what is recorded of the run besides scores."""
        subject, loaded, split = self.subject, self.subject.loaded, self.subject.judging.split
        return {
            "adapter": str(subject.adapter),
            "data": f"{subject.data.config.source_of(split)} ({split})",
            "device": self.config.device,
            "identity": self.grid.identity,
            "has_noise": self.grid.has_noise,
            "mitigation": self.config.mitigation,
            "measures": self.measures,
            "rows": self.sample.rows,
            "layers": tuple(self.layers),
            "planned": len(self.grid.settings),
            "config": asdict(self.config),
            "environment": environment(
                loaded.source.origin, subject.data.report.fingerprint, command, str(loaded.device), subject.dtype
            ),
        }

    @progress("scoring")
    def score(self, model: Any) -> Scores:
        """Score the rows by a model in its current state."""
        return score_rows(model, self.rows, self.subject.data.tokenizer.pad_token_id, self.subject.judging.batch_size)

    def score_with(self, measure: Measure) -> Scores:
        """Score the adapted model with the circuits of the sample's tokens measured."""
        with on_device(self.subject.model, measure, list(self.layers), self.choose):
            return self.score(self.subject.model)


def in_float64(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return exact expectation values, computed in float64 like those of a device and cast to the dtype of c."""
    return expectation_values(circuit, c.double(), angles.double()).to(c)
