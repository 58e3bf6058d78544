"""Trainings, evaluations and measurements give the recorded numbers, on any processor but for rounding.

`python -m tests.golden.test_runs` writes the record anew, after a change of the numbers that is meant.
"""

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

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
            "preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "dropout": 0.2, "target_modules": TARGETS
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


def measured(folder: Path) -> dict[str, Any]:
    """Return the numbers of `qweft evaluate` on noise at two scales, with and without shots."""
    found = printed(
        "evaluate", str(folder / "qtha" / "adapter"), "--device", "noisy", "--noise-scale", "0,1", "--shots", "100",
        "--max-circuits", "400", "--output", str(folder / "noise"),
    )  # fmt: skip
    # angles that differ only by rounding, which processors do differently, are circuits of their own
    rounded = ("seconds", "cpu_by_others", "sent", "circuits", "rise")
    points = [{key: value for key, value in each.items() if key not in rounded} for each in found["points"]]
    return {name: found[name]["loss"] for name in ("base", "adapted")} | {"points": points, "layers": found["layers"]}


def differences(theirs: Any, ours: Any, tolerance: float, name: str = "") -> list[str]:
    """Return where two records differ: numbers by more than a relative tolerance, anything else at all."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [*theirs, *(key for key in ours if key not in theirs)]
        return [
            line for key in keys for line in differences(theirs.get(key), ours.get(key), tolerance, f"{name}.{key}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [line for at, (one, two) in pairs for line in differences(one, two, tolerance, f"{name}[{at}]")]
    if isinstance(theirs, float) and isinstance(ours, float):
        return [] if abs(theirs - ours) <= tolerance * max(abs(theirs), 1e-3) else [f"{name}: {theirs} {ours}"]
    return [] if theirs == ours else [f"{name}: {theirs} {ours}"]


TOLERANCE = 1e-5
"""Processors add in another order, and AdamW's first steps enlarge that; on one machine nothing may differ."""


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
    return {name: trained(folder, name) for name in RUNS}


def plain(numbers):
    return json.loads(json.dumps({name: value for name, value in numbers.items() if name not in ("sha256", "weights")}))


@pytest.mark.parametrize("name", RUNS)
def test_a_training_gives_the_recorded_losses_and_weights(record, runs, name):
    wanted, found = record["runs"][name], json.loads(json.dumps(runs[name]))
    assert differences(plain(wanted), plain(found), TOLERANCE) == []
    assert differences(wanted["weights"], found["weights"], 1e-3) == []


def test_an_evaluation_gives_the_recorded_scores(record, runs, folder):
    assert differences(record["evaluated"], json.loads(json.dumps(evaluated(folder))), TOLERANCE) == []


def test_a_measurement_on_noise_gives_the_recorded_points(record, runs, folder):
    wanted, found = record["measured"], json.loads(json.dumps(measured(folder)))
    assert differences(wanted, found, 10 * TOLERANCE) == []
    wanted, found = ([each for each in one["points"] if each["setting"]["shots"] is None] for one in (wanted, found))
    assert differences(wanted, found, TOLERANCE) == []


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        write_inputs(Path(place))
        numbers = {"runs": {name: trained(Path(place), name) for name in RUNS}}
        numbers |= {"evaluated": evaluated(Path(place)), "measured": measured(Path(place))}
    RECORD.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
