"""Trainings, evaluations and measurements give the recorded numbers, on any processor but for rounding.

What is computed is held by a tolerance. What is measured with shots is held by its own spread: the shots of a circuit
are drawn by its angles to the last bit, and that bit is the processor's choice.

`python -m tests.golden.test_runs` writes the record anew, after a change of the numbers that is meant.
"""

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qweft.cli.main import main
from qweft.data.config import DataConfig
from qweft.models.config import ModelConfig
from qweft.training.config import CheckpointConfig, RunConfig, TrainingConfig, ValidationConfig
from qweft.training.run import train
from tests.tiny_folder import save_tiny_model

RECORD = Path(__file__).with_name("runs.json")
TARGETS = ["q_proj", "v_proj"]
BUDGET = {"batch_size": 3, "gradient_accumulation": 2, "learning_rate": 1e-2, "seed": 5}
RUNS: dict[str, dict[str, Any]] = {
    "qtha": {
        "adapter": {
            "preset": "qtha", "start": "recorded", "r": 2, "width": 8, "bond_dimension": 2, "dropout": 0.2,
            "target_modules": TARGETS,
        },
        "training": TrainingConfig(**BUDGET, max_steps=8, learning_rates={"circuit": 3e-2}),
        "validation": ValidationConfig(every=2),
        "checkpoints": CheckpointConfig(every=3),
    },
    "lora": {
        "adapter": {"peft_type": "LORA", "r": 2, "lora_dropout": 0.2, "target_modules": TARGETS},
        "training": TrainingConfig(**BUDGET, epochs=2, packing=True),
    },
    "basis": {
        "adapter": {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4, "target_modules": TARGETS},
        "training": TrainingConfig(**BUDGET, max_steps=5, gradient_checkpointing=True, weight_decay=0.1),
        "validation": ValidationConfig(every=1, patience=2),
    },
}  # fmt: skip


def write_inputs(folder: Path) -> None:
    """Write a tiny model and rows of worked answers."""
    save_tiny_model(folder / "model")
    rows = [{"question": f"{n} and 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(40)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "other.jsonl").write_text("\n".join(json.dumps({"text": f"There are {n} apples."}) for n in range(40)))


def trained(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """Train one of `RUNS` in a folder with `write_inputs` and return its numbers."""
    config = RunConfig(
        model=ModelConfig(name=str(folder / "model"), device="cpu"),
        data=DataConfig(
            source=str(folder / "rows.jsonl"), train_rows=16, validation_rows=6, test_rows=4, max_length=48
        ),
        output=str(folder / name),
        **RUNS[name] | changes,
    )
    run = train(config)
    tensors = load_file(run.adapter_folder / "adapter_model.safetensors")
    return {
        "train_loss": run.fit.train_loss,
        "curve": run.fit.curve,
        "steps": run.fit.steps,
        "best_step": run.fit.best_step,
        "validation_curve": run.fit.validation_curve,
        "base": [run.base.loss, run.base.standard_error, run.base.tokens],
        "adapted": [run.adapted.loss, run.adapted.standard_error, run.adapted.tokens],
        "trainable": run.trainable_parameters,
        "weights": {key: _summary(tensor) for key, tensor in sorted(tensors.items())},
    }


def _summary(tensor: torch.Tensor) -> list[Any]:
    values = tensor.double().flatten()
    return [list(tensor.shape), float(values.norm()), *map(float, values[:2])]


def printed(*arguments: str) -> dict[str, Any]:
    """Return what a command prints as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def evaluated(folder: Path) -> dict[str, Any]:
    """Return the numbers of `qweft evaluate` on the adapter of the run qtha."""
    found = printed(
        "evaluate", str(folder / "qtha" / "adapter"), "--evaluation.metrics", "text,reasoning",
        "--evaluation.max_new_tokens", "8", "--evaluation.forgetting", str(folder / "other.jsonl"),
        "--evaluation.forgetting_rows", "6",
    )  # fmt: skip
    scores = {
        each["name"].split("/")[0]: [each["base"], each["adapted"], each["difference"]] for each in found["scores"]
    }
    return {
        "scores": scores,
        "tokens": [found[name]["tokens"] for name in ("base", "adapted")],
        "rows": [found[name]["rows"] for name in ("base", "adapted")],
        "answers": [[each["generated"], each["is_cut"]] for each in found["answers"]],
    }


def measured(folder: Path, run: str = "qtha") -> dict[str, Any]:
    """Return the numbers of `qweft evaluate` on noise at two scales, with and without shots."""
    results = printed(
        "evaluate", str(folder / run / "adapter"), "--device", "noisy", "--noise-scale", "0,1", "--shots", "100",
        "--max-circuits", "400", "--output", str(folder / "noise"),
    )  # fmt: skip
    # angles that differ only by rounding, which processors do differently, are circuits of their own
    rounded = ("seconds", "cpu_by_others", "sent", "circuits", "rise")
    points = [{key: value for key, value in point.items() if key not in rounded} for point in results["points"]]
    return {name: results[name]["loss"] for name in ("base", "adapted")} | {
        "points": points,
        "layers": results["layers"],
    }


def differences(theirs: Any, ours: Any, relative: float, absolute: float, name: str = "") -> list[str]:
    """Return where two records differ: numbers by more than both tolerances, anything else at all."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        lines = []
        for key in theirs | ours:
            lines += differences(theirs.get(key), ours.get(key), relative, absolute, f"{name}.{key}")
        return lines
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        lines = []
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            lines += differences(one, other, relative, absolute, f"{name}[{index}]")
        return lines
    if isinstance(theirs, float) and isinstance(ours, float):
        is_near = abs(theirs - ours) <= max(relative * abs(theirs), absolute)
        return [] if is_near else [f"{name}: {theirs} {ours}"]
    return [] if theirs == ours else [f"{name}: {theirs} {ours}"]


TOLERANCE = 1e-5
"""Processors add in another order, and AdamW's first steps enlarge that."""
LOSS_TOLERANCE = 4 * 5.7 * torch.finfo(torch.float32).eps
"""Four roundings of a loss of 5.7: differences of losses, and their standard errors, are no more exact than losses."""
WEIGHT_TOLERANCE = 1e-3
"""AdamW divides a gradient by its own size, so rounding that hardly moves a loss moves a weight with a small one."""
STEP_TOLERANCE = TOLERANCE * 8 * 3e-2
"""Of the way of a weight: at most eight steps of the largest learning rate."""
DRAWS = 16
"""One for each angle of a circuit."""
MOST_SPREADS = 9
"""Student's t with 15 degrees of freedom is larger once in five million draws."""


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    return {name: as_json(trained(folder, name)) for name in RUNS}


def as_json(numbers):
    return json.loads(json.dumps(numbers))


@pytest.mark.parametrize("name", RUNS)
def test_a_training_gives_the_recorded_losses_and_weights(record, runs, name):
    theirs, ours = dict(record["runs"][name]), dict(runs[name])
    their_weights, our_weights = theirs.pop("weights"), ours.pop("weights")
    assert differences(theirs, ours, TOLERANCE, LOSS_TOLERANCE) == []
    assert differences(their_weights, our_weights, WEIGHT_TOLERANCE, STEP_TOLERANCE) == []


def test_an_evaluation_gives_the_recorded_scores(record, runs, folder):
    theirs, ours = dict(record["evaluated"]), as_json(evaluated(folder))
    their_scores, our_scores = theirs.pop("scores"), ours.pop("scores")
    assert differences(theirs, ours, TOLERANCE, LOSS_TOLERANCE) == []
    their_perplexity, our_perplexity = their_scores.pop("perplexity"), our_scores.pop("perplexity")
    assert differences(their_scores, our_scores, TOLERANCE, LOSS_TOLERANCE) == []
    # the exponential of a loss has its size times the rounding of the loss
    tolerance = their_perplexity[0]["value"] * LOSS_TOLERANCE
    assert differences(their_perplexity, our_perplexity, TOLERANCE, tolerance) == []


@pytest.fixture(scope="module")
def measurement(runs, folder):
    return as_json(measured(folder))


def test_a_measurement_on_noise_gives_the_recorded_points(record, measurement):
    theirs, ours = (without_sampled_points(numbers) for numbers in (record["measured"], measurement))
    assert len(theirs["points"]) == 2
    assert differences(theirs, ours, TOLERANCE, LOSS_TOLERANCE) == []


def without_sampled_points(measurement):
    exact = [point for point in measurement["points"] if point["setting"]["shots"] is None]
    return measurement | {"points": exact}


def test_a_measurement_with_shots_gives_the_recorded_points_within_their_spread(record, runs, folder):
    draws = [sampled_points(measured(folder, redrawn(folder, angle))) for angle in range(DRAWS)]
    recorded = sampled_points(record["measured"])
    assert len(recorded) == 2
    for index, point in enumerate(recorded):
        redraws = np.array([list(numbers_of(draw[index])) for draw in draws])
        numbers = np.array(list(numbers_of(point)))
        # the spread between one draw and the mean of all; none where all draws agree
        spread = redraws.std(0, ddof=1) * (1 + 1 / DRAWS) ** 0.5
        assert (np.abs(numbers - redraws.mean(0)) <= MOST_SPREADS * spread).all(), (numbers, redraws)


def sampled_points(measurement):
    return [point for point in measurement["points"] if point["setting"]["shots"] is not None]


def numbers_of(value: Any) -> Iterator[float]:
    """Yield all numbers of nested lists and dictionaries."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers_of(part)
    else:
        yield value


def redrawn(folder: Path, angle: int) -> str:
    """Copy the run qtha and move one angle of each circuit by its last bit, so that all shots are drawn anew."""
    name = f"qtha-{angle}"
    shutil.copytree(folder / "qtha", folder / name)
    file = folder / name / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    for key, tensor in tensors.items():
        if key.endswith("core.angles"):
            tensor[angle] = torch.nextafter(tensor[angle], tensor.new_tensor(torch.inf))
    save_file(tensors, file, metadata={"format": "pt"})
    return name


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name)
        write_inputs(inputs)
        numbers = {"runs": {run: trained(inputs, run) for run in RUNS}}
        numbers |= {"evaluated": evaluated(inputs), "measured": measured(inputs)}
    RECORD.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
