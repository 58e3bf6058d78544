"""`qweft evaluate ADAPTER --device ...`: a trained adapter with its circuits measured on a device."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from qweft.data.conversation import Conversation
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.devices import BoundCircuits, Device, Frequencies, Measurer
from qweft.environment import environment
from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.saved import put_on, sections_of
from qweft.files import check_writable
from qweft.hardware.config import HardwareConfig
from qweft.hardware.grid import Grid, make_grid
from qweft.hardware.judge import judge, most_tokens
from qweft.hardware.outcome import Judged, Point, Robustness, Setting, point
from qweft.hardware.sample import ChosenTokens, Sample, choose_sample
from qweft.hardware.write import write
from qweft.models.load import LoadedModel, load_model


class Counted:
    """A runner that counts the circuits that pass it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.circuits = 0

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """As the device."""
        self.circuits += len(circuits)
        return self._device.run(circuits, shots)


@dataclass(frozen=True)
class _Bench:
    """What is the same at every setting."""

    loaded: LoadedModel
    model: Any
    rows: Sequence[Encoded]
    conversations: Sequence[Conversation]
    sample: Sample
    judging: EvaluationConfig
    layers: Sequence[str]

    def judge(self) -> Judged:
        return judge(
            self.model, self.loaded.tokenizer, self.rows, self.conversations, self.judging.batch_size,
            self.judging.max_new_tokens,
        )  # fmt: skip

    def measure(self, device: Device, setting: Setting, exact: Judged) -> Point:
        counted = Counted(device)
        chosen = None if self.sample.tokens is None else ChosenTokens(self.rows, self.sample.tokens)
        began = time.perf_counter()
        with on_device(self.model, Measurer(counted, setting.shots), self.layers, chosen):
            measured = self.judge()
        return point(setting, measured, exact, counted.circuits, time.perf_counter() - began)


def evaluate_on_device(
    adapter: Path, overrides: Mapping[str, Any], config: HardwareConfig, command: str, console: Console
) -> Robustness:
    """Judge an adapter at every number of shots and strength of noise, beside itself computed exactly.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Keys of the sections model, data and evaluation that differ from the run that trained it.
        config: How its circuits are measured.
        command: The command line, for the record.
        console: Where progress is told.

    Returns:
        What was found, also written to the output folder.

    Raises:
        QweftError: If anything in the config is wrong; all of it is checked before anything is measured.
    """
    model_config, data_config, judging = sections_of(adapter, dict(overrides))
    check_evaluation(judging, data_config)
    grid = make_grid(config)
    output = Path(config.output or adapter.parent / f"robustness-{config.device.replace(':', '-')}")
    check_writable(output)
    loaded = load_model(model_config)
    data = load_data(data_config, loaded.tokenizer)
    bench = _bench(loaded, put_on(loaded, adapter), data, judging, config)
    measures = f"{bench.sample.describe(_split(data, judging)[0])}, {len(bench.layers)} layers"
    console.print(f"{config.device}: {measures}; at most {bench.sample.circuits:,} circuits a setting", highlight=False)
    with bench.model.disable_adapter():
        base = bench.judge().loss.loss
    exact = bench.judge()
    points = tuple(_points(grid, bench, exact, lambda line: console.print(line, highlight=False)))
    found = Robustness(
        str(adapter), f"{data_config.source} ({judging.split})", config.device, _identity(grid), measures,
        tuple(bench.layers), base, exact.loss.loss, tuple(each.prompt[-1].content for each in bench.conversations),
        exact.answers, points,
        environment(
            loaded.source.origin, data.report.fingerprint, command, str(loaded.device),
            str(loaded.dtype).removeprefix("torch."),
        ),
    )  # fmt: skip
    console.print(f"written to {write(found, output)}", highlight=False)
    return found


def _bench(loaded: LoadedModel, model: Any, data: Data, judging: EvaluationConfig, config: HardwareConfig) -> _Bench:
    """The sample drawn, and all that judging it needs."""
    layers = list(circuit_layers(model, config.layers))
    rows, conversations = _split(data, judging)
    shown = conversations[: judging.answers]
    tokens = [most_tokens(each, loaded.tokenizer, judging.max_new_tokens) for each in shown]
    sample = choose_sample(rows, tokens, len(layers), config.max_circuits, config.seed)
    return _Bench(loaded, model, [rows[i] for i in sample.rows], shown[: sample.answers], sample, judging, layers)


def _split(data: Data, judging: EvaluationConfig) -> tuple[Sequence[Encoded], Sequence[Conversation]]:
    """The rows to judge on, and their text."""
    if judging.split == "test":
        return data.test, data.test_conversations
    return data.validation, data.validation_conversations


def _points(grid: Grid, bench: _Bench, exact: Judged, tell: Callable[[str], None]) -> Iterator[Point]:
    """Every setting measured, one after the other, each told when it is done."""
    for setting in grid.settings:
        device = grid.devices[setting.noise_scale]
        if not isinstance(device, Device):
            raise QweftError(f"device {device.name} takes jobs")
        found = bench.measure(device, setting, exact)
        shots = "exact probabilities" if setting.shots is None else f"{setting.shots:,} shots"
        tell(f"noise x {setting.noise_scale:g}, {shots}: loss {found.loss:.4f}, {found.seconds:.0f} s")
        yield found


def _identity(grid: Grid) -> str:
    """The device in its own words, at its first strength of noise."""
    return next(iter(grid.devices.values())).identity()
