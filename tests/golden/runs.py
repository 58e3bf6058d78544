"""Short trainings and evaluations whose numbers are recorded in runs.json; `python -m tests.golden.runs` writes it."""

import contextlib
import hashlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

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
    digest = hashlib.sha256(
        b"".join(tensors[key].contiguous().view(torch.uint8).numpy().tobytes() for key in sorted(tensors))
    ).hexdigest()
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
        "sha256": digest,
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
        "--max-circuits", "400", "--evaluation.answers", "1", "--evaluation.max_new_tokens", "3",
        "--output", str(folder / "noise"),
    )  # fmt: skip
    points = [{key: value for key, value in each.items() if key not in ("seconds", "cpu_by_others", "sent")}
              for each in found["points"]]  # fmt: skip
    return {name: found[name]["loss"] for name in ("base", "adapted")} | {"points": points, "layers": found["layers"]}


def everything(folder: Path) -> dict[str, Any]:
    """Return all numbers."""
    write_inputs(folder)
    runs = {name: trained(folder, name) for name in RUNS}
    return {"runs": runs, "evaluated": evaluated(folder), "measured": measured(folder)}


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        RECORD.write_text(json.dumps(everything(Path(place)), indent=1) + "\n", encoding="utf-8")
