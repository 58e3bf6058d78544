"""`qweft evaluate ADAPTER --device ...`: evaluates a trained adapter with its circuits measured on a device."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qweft.adapter.cores import Measure
from qweft.circuit import Circuit, expectation_values
from qweft.claims import claimed_output, keep_earlier
from qweft.devices import BoundCircuits, Frequencies, Measurer
from qweft.devices.device import Runner
from qweft.devices.jobs import Executor, Retry, confirm
from qweft.environment import LoadMeter, environment
from qweft.errors import saying_when_stopped
from qweft.evaluation.generation import generate_answers, prompt_of, tokens_read
from qweft.evaluation.loss import score_rows
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.cost import Plan, estimated, rate
from qweft.evaluation.noise.grid import Checked, Setting, check_start
from qweft.evaluation.noise.results import Computed, NoiseResults, Point, Scored, point
from qweft.evaluation.noise.sample import ChosenTokens, Wanted, Which, measured_targets
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.subject import Subject, load_subject
from qweft.output import Console
from qweft.records import write_record
from qweft.text import many, progress

NUMBERS = "robustness.json"
"""File with the results, written anew after each setting."""


def evaluate_on_device(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: NoiseConfig,
    command: str = "",
    console: Console | None = None,
    yes: bool | None = False,
) -> NoiseResults | Plan:
    """Evaluate an adapter at each number of shots and noise scale, compared with exact computation.

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
    console = console or Console()
    tell = partial(console.print, highlight=False, soft_wrap=True)
    checked = check_start(adapter, overrides, config)
    output, numbers = checked.output, checked.output / NUMBERS
    points: list[Point] = []

    def what_is_kept() -> str:
        what = f"what was measured is in {numbers}" if points else "no setting was measured to its end"
        return f"{what}; the same command begins anew, and takes up the jobs that were sent"

    with ExitStack() as stack:
        if yes is not None:
            stack.enter_context(claimed_output(output, "qweft evaluate"))
            stack.enter_context(saying_when_stopped(what_is_kept))
        subject = load_subject(adapter, overrides, checked.model, checked.data, checked.evaluation)
        measurement = Measurement(subject, config, checked)
        plan = measurement.plan()
        if yes is None:
            return plan
        console.print(plan.headline(), highlight=False)
        confirm(plan.estimate, yes)
        with subject.base() as untouched:
            base = measurement.score(untouched)
        exact = measurement.score_with(in_float64)
        results = measurement.results(Computed.of(base, exact), command)
        if numbers.exists():
            tell(f"the earlier numbers in {output} are now in {keep_earlier(output, 'robustness', [numbers])}")
        for setting in checked.grid.settings:
            executor = Executor(
                checked.grid.devices[setting.noise_scale],
                budget=checked.budget,
                retry=Retry(timeout=config.timeout),
                any_calibration=config.any_calibration,
                tell=tell,
            )
            points.append(measurement.measure(executor, setting, exact))
            subject.check_same()
            results = replace(results, points=tuple(points))
            write_record(numbers, results.to_json())
            console.print(results.progress(), highlight=False)
        tell(f"written to {numbers}")
        return results


class Counted:
    """A runner that counts its circuits and passes them on to another runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.circuits = 0

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Count the circuits and run them on the wrapped runner."""
        self.circuits += len(circuits)
        return self._runner.run(circuits, shots)


class Measurement:
    """What all settings have in common: the layers, and the sample of rows, tokens and answers."""

    def __init__(self, subject: Subject, config: NoiseConfig, checked: Checked) -> None:
        self.subject, self.config, self.checked = subject, config, checked
        self.layers = circuit_layers(subject.model, config.layers)
        circuits = {name: core.circuit for name, core in self.layers.items() if core.circuit is not None}
        checked.grid.check_qubits(circuits)
        self.rate = rate(checked.mitigation, list(circuits.values()))
        judging, tokenizer = subject.judging, subject.data.tokenizer
        texts = subject.data.to_answer(judging.split)[: judging.answers]
        lengths = [len(prompt_of(each, tokenizer).ids) for each in texts]
        wanted = Wanted(
            rows=subject.rows,
            which=config.tokens,
            answers=[tokens_read(subject.model, length, judging.max_new_tokens) for length in lengths],
            batch_size=judging.batch_size,
            circuits_a_token=len(self.layers) * self.rate.circuit,
            circuits_once=self.rate.once,
        )
        self.sample = wanted.draw(config.max_circuits, config.seed)
        self.rows = [subject.rows[place] for place in self.sample.rows]
        self.conversations = texts[: self.sample.answers]
        self.measures = f"{self.sample.describe(subject.rows)}, {many(len(self.layers), 'layer')}"

    def plan(self) -> Plan:
        """Return the plan; raise if it exceeds a cap."""
        estimate = estimated(self.sample, self.checked.grid, self.checked.budget, len(self.layers), self.rate)
        return Plan(self.measures, self.subject.dtype, len(self.checked.grid.settings), estimate)

    def results(self, computed: Computed, command: str) -> NoiseResults:
        """Return results without a point yet."""
        subject, grid, split = self.subject, self.checked.grid, self.subject.judging.split
        loaded = subject.loaded
        return NoiseResults(
            adapter=str(subject.adapter),
            data=f"{self.checked.data.source_of(split)} ({split})",
            device=self.config.device,
            identity=grid.identity,
            has_noise=grid.has_noise,
            mitigation=self.config.mitigation,
            measures=self.measures,
            sample=self.sample,
            layers=tuple(self.layers),
            computed=computed,
            prompts=tuple(prompt_of(each, subject.data.tokenizer).shown for each in self.conversations),
            planned=len(grid.settings),
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
        others: Which = "all" if self.sample.kind == "all" else "targets"
        pad = self.subject.data.tokenizer.pad_token_id
        chosen = ChosenTokens(self.rows, self.sample.tokens, pad, others)
        with on_device(self.subject.model, measure, list(self.layers), chosen):
            return self.score(self.subject.model)

    def measure(self, executor: Executor, setting: Setting, exact: Scored) -> Point:
        """Return the result at a setting."""
        counted, sent_before = Counted(executor), executor.budget.circuits
        began, meter = time.perf_counter(), LoadMeter()
        measured = self.score_with(Measurer(counted, setting.shots, self.checked.mitigation))
        seconds, load = time.perf_counter() - began, meter.read()
        is_measured = [measured_targets(row, some) for row, some in zip(self.rows, self.sample.tokens, strict=True)]
        return replace(
            point(setting, measured, exact, is_measured),
            circuits=counted.circuits,
            sent=executor.budget.circuits - sent_before,
            seconds=seconds,
            cpu_by_others=load.cpu_by_others,
        )


def in_float64(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return exact expectation values, computed in float64 like those of a device and cast to the dtype of c."""
    return expectation_values(circuit, c.double(), angles.double()).to(c)
