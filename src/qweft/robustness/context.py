"""The model, the sample, and their evaluation at a setting."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.adapter.cores import Measure
from qweft.circuit import Circuit, expectation_values
from qweft.data.conversation import Conversation
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.devices import BoundCircuits, Frequencies, Measurer
from qweft.devices.device import Runner
from qweft.devices.jobs import Executor
from qweft.devices.mitigation.estimate import Mitigation
from qweft.environment import LoadMeter
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.generation import generate_answers, prompt_of, tokens_read
from qweft.evaluation.loss import score_rows
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.robustness.config import RobustnessConfig
from qweft.robustness.cost import Rate, rate
from qweft.robustness.grid import Grid, check_qubits
from qweft.robustness.outcome import Effort, Point, Scored, Setting, point
from qweft.robustness.sample import ChosenTokens, Sample, Wanted, Which, choose_sample, measured_targets
from qweft.text import many, progress


def score_sample(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Encoded],
    conversations: Sequence[Conversation],
    batch_size: int,
    max_new_tokens: int,
) -> Scored:
    """Returns the scores of rows, and greedy answers to the prompts of conversations."""
    scores = score_rows(model, rows, tokenizer.pad_token_id, batch_size)
    answers = generate_answers(model, tokenizer, conversations, max_new_tokens)
    return Scored(scores, tuple(answer.generated for answer in answers))


class Counted:
    """A runner that counts its circuits and passes them on to another runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.circuits = 0

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Counts the circuits and runs them on the wrapped runner."""
        self.circuits += len(circuits)
        return self._runner.run(circuits, shots)


@dataclass(frozen=True)
class Context:
    """What all settings have in common.

    Args:
        tokenizer: The base model's tokenizer.
        model: The base model with the adapter.
        rows: Rows of the sample.
        conversations: Conversations to answer.
        sample: Rows and tokens to measure.
        measures: Description of the sample and the layers.
        evaluation: Evaluation settings, such as the sizes of batches and answers.
        layers: Layers whose circuits are measured.
        mitigation: Error mitigation.
        rate: Number of circuits that the mitigation runs for each circuit.
        draw: Draws the sample that a number of circuits allows.
    """

    tokenizer: Any
    model: Any
    rows: Sequence[Encoded]
    conversations: Sequence[Conversation]
    sample: Sample
    measures: str
    evaluation: EvaluationConfig
    layers: Sequence[str]
    mitigation: Mitigation
    rate: Rate
    draw: Callable[[int], Sample]

    @progress("scoring")
    def score(self) -> Scored:
        """Scores the model in its current state."""
        return score_sample(
            self.model, self.tokenizer, self.rows, self.conversations, self.evaluation.batch_size,
            self.evaluation.max_new_tokens,
        )  # fmt: skip

    def score_exactly(self) -> Scored:
        """Scores the model with circuits computed exactly in float64, like those of a device, for any model dtype."""
        return self._score_with(in_float64)

    def measure(self, executor: Executor, setting: Setting, exact: Scored) -> Point:
        """Scores the model with its circuits measured.

        Args:
            executor: Runs the circuits.
            setting: Shots and noise scale.
            exact: Scores with the circuits computed exactly, for comparison.
        """
        counted = Counted(executor)
        sent_before = executor.budget.circuits
        began, meter = time.perf_counter(), LoadMeter()
        measured = self._score_with(Measurer(counted, setting.shots, self.mitigation))
        seconds, load = time.perf_counter() - began, meter.read()
        effort = Effort(counted.circuits, executor.budget.circuits - sent_before, seconds, load.cpu_by_others)
        is_measured = [measured_targets(row, some) for row, some in zip(self.rows, self.sample.tokens, strict=True)]
        return point(setting, measured, exact, is_measured, effort)

    def _score_with(self, measure: Measure) -> Scored:
        others: Which = "all" if self.sample.kind == "all" else "targets"
        chosen = ChosenTokens(self.rows, self.sample.tokens, self.tokenizer.pad_token_id, others)
        with on_device(self.model, measure, self.layers, chosen):
            return self.score()


def in_float64(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Returns exact expectation values, computed in float64 and cast to the dtype of c, as `Measurer` does."""
    return expectation_values(circuit, c.double(), angles.double()).to(c)


def make_context(
    model: Any,
    data: Data,
    evaluation: EvaluationConfig,
    config: RobustnessConfig,
    mitigation: Mitigation,
    grid: Grid,
) -> Context:
    """Draws the sample and returns the context of the run.

    Args:
        model: The base model with the adapter.
        data: The data.
        evaluation: Evaluation settings: split, number of answers, and sizes of batches and answers.
        config: Options of the measurement.
        mitigation: Error mitigation.
        grid: The devices.

    Raises:
        QweftError: If no layer has a circuit, a device has too few qubits for one, no row has a target, or the cap on
            circuits is too low for one token.
    """
    cores = circuit_layers(model, config.layers)
    circuits = {name: core.circuit for name, core in cores.items() if core.circuit is not None}
    check_qubits(grid, circuits)
    counted = rate(mitigation, list(circuits.values()))
    is_test = evaluation.split == "test"
    rows = data.test if is_test else data.validation
    shown = data.to_answer(evaluation.split)[: evaluation.answers]
    answers = [
        tokens_read(model, len(prompt_of(each, data.tokenizer).ids), evaluation.max_new_tokens) for each in shown
    ]
    wanted = Wanted(rows, config.tokens, answers, evaluation.batch_size)

    def draw(max_circuits: int | None) -> Sample:
        return choose_sample(wanted, len(cores) * counted.circuit, counted.once, max_circuits, config.seed)

    sample = draw(config.max_circuits)
    return Context(
        data.tokenizer, model, [rows[i] for i in sample.rows], shown[: sample.answers], sample,
        f"{sample.describe(rows)}, {many(len(cores), 'layer')}", evaluation, list(cores), mitigation, counted, draw,
    )  # fmt: skip
