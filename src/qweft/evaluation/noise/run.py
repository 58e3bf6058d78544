"""`qweft evaluate ADAPTER --device ...`: evaluates a trained adapter with its circuits measured on a device."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qweft.adapter.cores import Measure
from qweft.circuit import Circuit, expectation_values
from qweft.claims import check_state, claimed_output, keep_earlier, state_of
from qweft.data.conversation import Conversation
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.devices import BoundCircuits, Frequencies, Measurer
from qweft.devices.device import Runner
from qweft.devices.jobs import Executor, Retry, confirm
from qweft.devices.mitigation.estimate import Mitigation
from qweft.environment import LoadMeter, environment
from qweft.errors import saying_when_stopped
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.generation import generate_answers, prompt_of, tokens_read
from qweft.evaluation.loss import score_rows
from qweft.evaluation.noise.checks import Checked, check_start
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.cost import Costs, Plan, rate
from qweft.evaluation.noise.outcome import Computed, Effort, NoiseResults, Point, Scored, point
from qweft.evaluation.noise.report import one_line, write, written
from qweft.evaluation.noise.sample import ChosenTokens, Sample, Wanted, Which, measured_targets
from qweft.evaluation.noise.settings import Setting
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.saved import base_model, changed, put_on, weights_of
from qweft.evaluation.unseen import check_unseen
from qweft.models.load import load_model
from qweft.output import Console
from qweft.text import many, progress


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
    checked = check_start(adapter, overrides, config)
    grid, output = checked.grid, checked.output
    pages: list[Path] = []  # after each setting
    with ExitStack() as stack:
        if yes is not None:
            stack.enter_context(claimed_output(output, "qweft evaluate"))
            stack.enter_context(saying_when_stopped(lambda: _kept(output, pages)))
        state = state_of(adapter)
        loaded = load_model(checked.model)
        data = load_data(checked.data, loaded.tokenizer)
        check_unseen(adapter, overrides, data, checked.evaluation.split, loaded.tokenizer)
        before = weights_of(loaded.model, adapter)
        measurement = Measurement.of(put_on(loaded, adapter), data, config, checked)
        dtype = str(loaded.dtype).removeprefix("torch.")
        plan = Plan(
            measurement.measures,
            dtype,
            len(grid.settings),
            measurement.costs.checked(measurement.sample, lambda most: measurement.wanted.draw(most, config.seed)),
        )
        if yes is None:
            return plan
        console.print(plan.headline(), highlight=False)
        confirm(plan.estimate, yes)
        with base_model(changed(before, measurement.model), measurement.model, checked.model) as untouched:
            base = replace(measurement, model=untouched).score()
        exact = measurement.score_with(in_float64)
        split = checked.evaluation.split
        results = NoiseResults(
            adapter=str(adapter),
            data=f"{checked.data.source_of(split)} ({split})",
            device=config.device,
            identity=grid.identity,
            has_noise=grid.has_noise,
            mitigation=config.mitigation,
            measures=measurement.measures,
            sample=measurement.sample,
            layers=tuple(measurement.layers),
            computed=Computed.of(base, exact),
            prompts=tuple(prompt_of(each, data.tokenizer).shown for each in measurement.conversations),
            points=(),
            planned=len(grid.settings),
            config=asdict(config),
            environment=environment(loaded.source.origin, data.report.fingerprint, command, str(loaded.device), dtype),
        )
        if earlier := written(output):  # the numbers last: they tell whose the others are
            aside = keep_earlier(output, "robustness", earlier[::-1])
            console.print(f"the earlier report in {output} is now in {aside}", highlight=False, soft_wrap=True)
        tell = partial(console.print, highlight=False, soft_wrap=True)  # text from a provider
        for setting in grid.settings:
            executor = Executor(
                grid.devices[setting.noise_scale],
                budget=checked.budget,
                retry=Retry(timeout=config.timeout),
                any_calibration=config.any_calibration,
                tell=tell,
            )
            measured = measurement.measure(executor, setting, exact)
            check_state(adapter, state)
            results = replace(results, points=(*results.points, measured))
            pages.append(write(results, output))
            console.print(one_line(results, measured), highlight=False)
        console.print(f"written to {pages[-1]}", highlight=False, soft_wrap=True)
        return results


def _kept(output: Path, pages: Sequence[Path]) -> str:
    """Return what a stopped command leaves."""
    what = f"what was measured is in {output}" if pages else "no setting was measured to its end"
    return f"{what}; the same command begins anew, and takes up the jobs that were sent"


class Counted:
    """A runner that counts its circuits and passes them on to another runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.circuits = 0

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Count the circuits and run them on the wrapped runner."""
        self.circuits += len(circuits)
        return self._runner.run(circuits, shots)


@dataclass(frozen=True)
class Measurement:
    """What all settings have in common."""

    tokenizer: Any
    model: Any
    rows: Sequence[Encoded]
    conversations: Sequence[Conversation]
    wanted: Wanted
    sample: Sample
    measures: str
    evaluation: EvaluationConfig
    layers: Sequence[str]
    mitigation: Mitigation
    costs: Costs

    @classmethod
    def of(cls, model: Any, data: Data, config: NoiseConfig, checked: Checked) -> "Measurement":
        """Draw the sample and return the measurement of a model with its adapter."""
        evaluation, grid = checked.evaluation, checked.grid
        cores = circuit_layers(model, config.layers)
        circuits = {name: core.circuit for name, core in cores.items() if core.circuit is not None}
        grid.check_qubits(circuits)
        counted = rate(checked.mitigation, list(circuits.values()))
        rows = data.test if evaluation.split == "test" else data.validation
        shown = data.to_answer(evaluation.split)[: evaluation.answers]
        lengths = [len(prompt_of(each, data.tokenizer).ids) for each in shown]
        wanted = Wanted(
            rows=rows,
            which=config.tokens,
            answers=[tokens_read(model, length, evaluation.max_new_tokens) for length in lengths],
            batch_size=evaluation.batch_size,
            circuits_a_token=len(cores) * counted.circuit,
            circuits_once=counted.once,
        )
        sample = wanted.draw(config.max_circuits, config.seed)
        return cls(
            tokenizer=data.tokenizer,
            model=model,
            rows=[rows[i] for i in sample.rows],
            conversations=shown[: sample.answers],
            wanted=wanted,
            sample=sample,
            measures=f"{sample.describe(rows)}, {many(len(cores), 'layer')}",
            evaluation=evaluation,
            layers=list(cores),
            mitigation=checked.mitigation,
            costs=Costs(grid, checked.budget, len(cores), counted),
        )

    @progress("scoring")
    def score(self) -> Scored:
        """Score the model in its current state: its rows, and greedy answers to the prompts."""
        evaluation = self.evaluation
        scores = score_rows(self.model, self.rows, self.tokenizer.pad_token_id, evaluation.batch_size)
        answers = generate_answers(self.model, self.tokenizer, self.conversations, evaluation.max_new_tokens)
        return Scored(scores, tuple(answer.generated for answer in answers))

    def score_with(self, measure: Measure) -> Scored:
        """Score the model with the circuits of the sample's tokens measured."""
        others: Which = "all" if self.sample.kind == "all" else "targets"
        chosen = ChosenTokens(self.rows, self.sample.tokens, self.tokenizer.pad_token_id, others)
        with on_device(self.model, measure, self.layers, chosen):
            return self.score()

    def measure(self, executor: Executor, setting: Setting, exact: Scored) -> Point:
        """Return the result at a setting."""
        counted, sent_before = Counted(executor), executor.budget.circuits
        began, meter = time.perf_counter(), LoadMeter()
        measured = self.score_with(Measurer(counted, setting.shots, self.mitigation))
        seconds, load = time.perf_counter() - began, meter.read()
        effort = Effort(counted.circuits, executor.budget.circuits - sent_before, seconds, load.cpu_by_others)
        is_measured = [measured_targets(row, some) for row, some in zip(self.rows, self.sample.tokens, strict=True)]
        return point(setting, measured, exact, is_measured, effort)


def in_float64(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return exact expectation values, computed in float64 like those of a device and cast to the dtype of c."""
    return expectation_values(circuit, c.double(), angles.double()).to(c)
