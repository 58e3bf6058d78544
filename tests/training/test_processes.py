"""Two processes train as one does, with all of the model each, or in shares by FSDP (on CPUs: fsdp_on_cpu)."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qweft.models import load
from qweft.training.config import ValidationConfig
from qweft.training.run import train
from tests.forked import needs_fork
from tests.rounding import assert_close
from tests.training.test_resume import config, files  # noqa: F401

ROOT = Path(__file__).parents[2]
RATE, HIGH_RATE = 1e-2, 2.0
"""Of training, and of one that is best halfway: what comes after that step differs in more than rounding."""
RUNS = {"qtha": ("qtha", RATE), "best_halfway": ("qtha", HIGH_RATE), "basis": ("basis", RATE)}
WAYS = {
    "qtha": ("qtha", True),
    "best_halfway": ("best_halfway", True),
    "basis_killed": ("basis", True),
    "basis_again": ("basis", True),
    "qtha_whole": ("qtha", False),
    "basis_whole": ("basis", False),
}
"""The run of each command, and whether its processes share out the model."""
ROUNDINGS = 1e8
"""Between two runs in float64, relative 2e-8: Adam makes much of the smallest gradients."""
pytestmark = [needs_fork, pytest.mark.slow, pytest.mark.xdist_group("processes")]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def options(run):
    """The command's options for a run, in the folder's own words."""
    return [
        "--model.name", run.model.name, "--model.device", "cpu", "--data.source", run.data.source,
        "--data.train_rows", "16", "--data.validation_rows", "6", "--data.test_rows", "4", "--data.max_length", "48",
        "--adapter", json.dumps(run.adapter), "--training.max_steps", "8", "--training.gradient_accumulation", "2",
        "--training.seed", "5", "--training.batch_size", "2", "--training.learning_rate",
        str(run.training.learning_rate), "--checkpoints.every", "3", "--validation.every", "4", "--output", run.output,
    ]  # fmt: skip


def whole(files, output, name):  # noqa: F811
    """The run of one process, with all of a batch."""
    adapter, rate = RUNS[name]
    budget = {"batch_size": 4, "learning_rate": rate}
    run = config(files, output, adapter, None, budget, validation=ValidationConfig(every=4))
    start = {"start": "small"} if adapter == "qtha" else {}  # whose rate RATE is
    return replace(run, adapter=run.adapter | start | {"dropout": 0.0})  # two processes draw other numbers than one


@pytest.fixture(scope="module")
def ones(files, tmp_path_factory):  # noqa: F811
    """Each run in this process alone, in float64 as those of two."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "choose_dtype", lambda *_: torch.float64)
        return {name: train(whole(files, folder / name, name)) for name in RUNS}


@pytest.fixture(scope="module")
def twos(files, tmp_path_factory):  # noqa: F811
    """The folder in which one launch of two processes left all runs, by name, and what they said."""
    folder = tmp_path_factory.mktemp("two")
    plan = {}
    for name, (run, is_shared) in WAYS.items():
        output = folder / name.replace("_again", "_killed")
        resumed = ["--resume", "auto"] if name.endswith("_again") else []
        words = ["train", *options(whole(files, output, run)), *resumed]
        plan[name] = words, free_port(), 3 if name.endswith("_killed") else None, is_shared
    (folder / "plan.json").write_text(json.dumps(plan))
    launch = [
        "launch", "--use_fsdp", "--fsdp_version", "2", "--num_machines", "1", "--num_processes", "2",
        "--main_process_port", str(free_port()), "--mixed_precision", "no", "--dynamo_backend", "no",
        "-m", "tests.training.fsdp_on_cpu", str(folder / "plan.json"),
    ]  # fmt: skip
    launched = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stdout + launched.stderr
    return folder


def ended(folder, name):
    """The statuses of both processes, the checkpoints that they left, and all that they said."""
    ends = [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in "01"]
    said = [(folder / f"{name}-{rank}.said").read_text() for rank in "01"]
    return [status for status, _ in ends], ends[1][1], "\n".join(said)


def assert_same(folder, one, adapter):
    """What two processes left in a folder is what one left."""
    record = json.loads((folder / "run.json").read_text())
    assert (record["training"]["steps"], record["training"]["best_step"]) == (8, one.fit.best_step)
    until = one.fit.best_step  # what follows is not in the weights, and may be far from learning
    for (_, theirs), (_, ours) in zip(record["training"]["curve"][:until], one.fit.curve[:until], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-6)  # transformers takes the loss in float32
    assert record["adapted"]["loss"] == pytest.approx(one.adapted.loss, rel=1e-6)
    found = load_file(folder / "adapter" / "adapter_model.safetensors")
    wanted = load_file(one.adapter_folder / "adapter_model.safetensors")
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        if adapter == "qtha":
            assert_close(found[name], tensor, ROUNDINGS)
        else:  # directions are found in float32 and kept in bfloat16, where one rounding is 2 ** -8
            one, other, largest = found[name].double(), tensor.double(), tensor.double().abs().max().item()
            torch.testing.assert_close(one, other, rtol=2**-7, atol=1e-3 * largest)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter", "run.json"]


@pytest.mark.parametrize("name", [name for name in WAYS if "_killed" not in name and "_again" not in name])
def test_two_processes_are_one(ones, twos, name):
    """Where the best adapter is not the last, its weights are put back into the shares."""
    statuses, _, said = ended(twos, name)
    assert statuses == [0, 0], said
    assert said.count("adapter: ") == 1  # the first process speaks
    run, _ = WAYS[name]
    assert (ones[run].fit.best_step == 8) == (name != "best_halfway")
    assert_same(twos / name, ones[run], RUNS[run][0])


def test_a_killed_run_goes_on_in_its_shares(ones, twos):
    statuses, checkpoints, said = ended(twos, "basis_killed")
    assert 9 in statuses and 0 not in statuses and checkpoints == ["checkpoint-3"], said
    statuses, _, said = ended(twos, "basis_again")
    assert statuses == [0, 0] and "checkpoint-3" in said.replace("\n", ""), said
    assert_same(twos / "basis_killed", ones["basis"], "basis")
