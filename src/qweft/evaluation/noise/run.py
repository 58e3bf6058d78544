"""`qweft evaluate ADAPTER --device ...`: evaluates a trained adapter with its circuits measured on a device."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Group
from rich.text import Text

from qweft.adapter.cores import Measure
from qweft.circuit import Circuit, expectation_values
from qweft.claims import claimed_output
from qweft.devices import Measurer
from qweft.devices.jobs import Estimate, Executor, Retry, confirm
from qweft.environment import environment
from qweft.errors import saying_when_stopped
from qweft.evaluation.generation import generate_answers, prompt_of, tokens_read
from qweft.evaluation.loss import score_rows
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.plan import Grid, Wanted, check_start, estimated
from qweft.evaluation.noise.results import NoiseResults, Point, Scored
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.saved import Subject, load_subject
from qweft.files import free_name
from qweft.output import Console
from qweft.records import write_record
from qweft.text import many, progress

NUMBERS = "robustness.json"
"""File with the results, written anew after each setting."""


@dataclass(frozen=True)
class Plan:
    """The plan of a measurement."""

    measures: str
    dtype: str
    settings: int
    estimate: Estimate

    @property
    def headline(self) -> str:
        """A summary in one line."""
        circuits = many(self.estimate.circuits, "circuit")
        return f"{self.measures}, model in {self.dtype}; {many(self.settings, 'setting')}, at most {circuits}"

    def describe(self) -> Group:
        """Return the plan for the terminal."""
        return Group(Text(self.headline), self.estimate.describe())

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        return vars(self) | {"estimate": self.estimate.to_json()}


def evaluate_on_device(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: NoiseConfig,
    command: str = "",
    console: Console | None = None,
    yes: bool | None = False,
) -> NoiseResults | Plan:
    """Evaluate an adapter at each number of shots and noise scale, beside exact computation.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Keys of the sections model, data and evaluation that differ from the training run.
        config: Options of the measurement.
        command: The command line, which is recorded.
        console: Where progress is printed; `None` means standard output.
        yes: Skip the confirmation for devices that take jobs or cost money; `None` stops before anything is measured.

    Returns:
        The results, or the plan for a dry run. The output folder is rewritten after each setting, so an interrupted run
        leaves its results.

    Raises:
        QweftError: Before any measurement, if an option is invalid, a cap is exceeded or the user declines; later, if
            the device fails.
    """
    tell = partial((console or Console()).print, highlight=False, soft_wrap=True)
    sections, grid, output = check_start(adapter, overrides, config)
    if yes is None:
        return Measurement(load_subject(adapter, overrides, *sections), config, grid).plan
    numbers = output / NUMBERS
    points: list[Point] = []

    def what_is_kept() -> str:
        what = f"what was measured is in {numbers}" if points else "no setting was measured to its end"
        return f"{what}; the same command begins anew, and takes up the jobs that were sent"

    with claimed_output(output, "qweft evaluate"), saying_when_stopped(what_is_kept):
        measurement = Measurement(load_subject(adapter, overrides, *sections), config, grid)
        tell(measurement.plan.headline)
        confirm(measurement.plan.estimate, yes)
        with measurement.subject.base() as untouched:
            base = measurement.score(untouched)
        exact = measurement.score_with(in_float64)
        results = measurement.results(base, exact, command)
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
            began, before = time.perf_counter(), grid.budget.circuits
            measured = measurement.score_with(Measurer(executor, setting.shots, grid.mitigation))
            circuits, seconds = grid.budget.circuits - before, time.perf_counter() - began
            points.append(Point.of(setting, measured, exact, circuits, seconds))
            results = replace(results, points=tuple(points))
            write_record(numbers, results.to_json())
            shots = "exact probabilities" if setting.shots is None else many(setting.shots, "shot")
            loss = f"loss {measured.loss.loss:.4f}, {many(circuits, 'circuit')}, {seconds:.0f} s"
            tell(f"noise x {setting.noise_scale:g}, {shots}: {loss}")
        tell(f"written to {numbers}")
        return results


class Measurement:
    """What all settings have in common: the layers, and the sample of rows and answers."""

    def __init__(self, subject: Subject, config: NoiseConfig, grid: Grid) -> None:
        self.subject, self.config, self.grid = subject, config, grid
        self.layers = circuit_layers(subject.model, config.layers)
        circuits = {name: core.circuit for name, core in self.layers.items() if core.circuit is not None}
        grid.check_qubits(circuits)
        judging, tokenizer = subject.judging, subject.data.tokenizer
        texts = subject.data.to_answer(judging.split)[: judging.answers]
        lengths = [len(prompt_of(each, tokenizer).ids) for each in texts]
        mitigation, forms = grid.mitigation, len(set(circuits.values()))
        wanted = Wanted(
            rows=subject.rows,
            which=config.tokens,
            answers=[tokens_read(subject.model, length, judging.max_new_tokens) for length in lengths],
            batch_size=judging.batch_size,
            circuits_a_token=len(self.layers) * mitigation.folds,
            circuits_once=2 * forms * mitigation.folds if mitigation.undoes_readout else 0,
        )
        self.choose = wanted.choose(tokenizer.pad_token_id)
        self.sample = wanted.draw(config.max_circuits, config.seed)
        self.rows = [subject.rows[place] for place in self.sample.rows]
        self.conversations = texts[: self.sample.answers]
        tokens = "measured whole" if config.tokens == "all" else "measured at the tokens that predict a target"
        self.plan = Plan(
            measures=f"{len(self.rows)} of {many(len(subject.rows), 'row')}, {tokens}, "
            f"{many(self.sample.answers, 'answer')}, {many(len(self.layers), 'layer')}",
            dtype=subject.dtype,
            settings=len(grid.settings),
            estimate=estimated(self.sample, grid, len(self.layers), forms),
        )

    def results(self, base: Scored, exact: Scored, command: str) -> NoiseResults:
        """Return results without a point yet."""
        subject, loaded, split = self.subject, self.subject.loaded, self.subject.judging.split
        return NoiseResults(
            adapter=str(subject.adapter),
            data=f"{subject.data.config.source_of(split)} ({split})",
            device=self.config.device,
            identity=self.grid.identity,
            has_noise=self.grid.has_noise,
            mitigation=self.config.mitigation,
            measures=self.plan.measures,
            rows=self.sample.rows,
            layers=tuple(self.layers),
            base=base.loss,
            adapted=exact.loss,
            prompts=tuple(prompt_of(each, subject.data.tokenizer).shown for each in self.conversations),
            answers=exact.answers,
            planned=self.plan.settings,
            config=asdict(self.config),
            environment=environment(
                loaded.source.origin, subject.data.report.fingerprint, command, str(loaded.device), subject.dtype
            ),
        )

    @progress("scoring")
    def score(self, model: Any) -> Scored:
        """Score a model in its current state: its rows, and greedy answers to the prompts."""
        judging, tokenizer = self.subject.judging, self.subject.data.tokenizer
        scores = score_rows(model, self.rows, tokenizer.pad_token_id, judging.batch_size)
        answers = generate_answers(model, tokenizer, self.conversations, judging.max_new_tokens)
        return Scored(scores, tuple(answer.generated for answer in answers))

    def score_with(self, measure: Measure) -> Scored:
        """Score the adapted model with the circuits of the sample's tokens measured."""
        with on_device(self.subject.model, measure, list(self.layers), self.choose):
            return self.score(self.subject.model)


def in_float64(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return exact expectation values, computed in float64 like those of a device and cast to the dtype of c."""
    return expectation_values(circuit, c.double(), angles.double()).to(c)
