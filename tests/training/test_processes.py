"""Two processes train as one does."""

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
        "--training.learning_rate", "1e-2", "--training.seed", "5", "--checkpoints.every", "3",
        "--validation.every", "4", "--output", run.output,
    ]  # fmt: skip


RUNS = {"qtha": 640, "basis": 64}
"""The adapters that are trained, and how many numbers of each."""


def whole(files, output, adapter):  # noqa: F811
    """The run of one process, with all of a batch."""
    run = config(files, output, adapter, None, {"batch_size": 4}, validation=ValidationConfig(every=4))
    return replace(run, adapter=run.adapter | {"dropout": 0.0})  # two processes draw other numbers than one


ROUNDINGS = 1e8
"""Between two runs in float64, relative 2e-8: Adam makes much of the smallest gradients."""


def assert_trained_alike(found, wanted, adapter):
    """Closely, but for directions: they are found in float32 and kept in bfloat16, where one rounding is 2 ** -8."""
    found, wanted = found.double(), wanted.double()
    if adapter == "qtha":
        assert_close(found, wanted, ROUNDINGS)
    else:
        torch.testing.assert_close(found, wanted, rtol=2**-7, atol=1e-3 * wanted.abs().max().item())


@pytest.fixture(scope="module")
def ranks(files, tmp_path_factory):  # noqa: F811
    """Where two processes, started as accelerate starts a rank, left each run; each takes half of a batch."""
    folder = tmp_path_factory.mktemp("ranks")
    plan = {}
    for name in RUNS:
        words = ["train", *options(whole(files, folder / name, name)), "--training.batch_size", "2"]
        plan[name] = (words, free_port(), None)
    (folder / "plan.json").write_text(json.dumps(plan))
    launch = [
        "launch", "--cpu", "--num_machines", "1", "--num_processes", "2", "--main_process_ip", "127.0.0.1",
        "--main_process_port", str(free_port()), "--mixed_precision", "no", "--dynamo_backend", "no",
        "-m", "tests.training.fsdp_on_cpu", str(folder / "plan.json"),
    ]  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch],
            env={**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    said = [rank.communicate(timeout=600)[0] for rank in running]
    assert [rank.returncode for rank in running] == [0, 0], said
    return folder


@needs_fork
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize(("adapter", "trained"), RUNS.items())
def test_two_ranks_are_one(files, ranks, tmp_path, monkeypatch, adapter, trained):  # noqa: F811
    monkeypatch.setattr(load, "choose_dtype", lambda *_: torch.float64)  # as the ranks do
    one = train(whole(files, tmp_path / "one", adapter))
    said = [(ranks / f"{adapter}-{rank}.said").read_text() for rank in "01"]
    statuses = [json.loads((ranks / f"{adapter}-{rank}.json").read_text())[0] for rank in "01"]
    assert statuses == [0, 0], said
    assert f"training {trained}" in said[0] and f"training {trained}" not in said[1]  # the first one speaks
    record = json.loads((ranks / adapter / "run.json").read_text())
    assert record["training"]["steps"] == 8
    for (_, theirs), (_, ours) in zip(record["training"]["curve"], one.fit.curve, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
    found = load_file(ranks / adapter / "adapter" / "adapter_model.safetensors")
    for name, tensor in load_file(one.adapter_folder / "adapter_model.safetensors").items():
        assert_trained_alike(found[name], tensor, adapter)
    assert sorted(path.name for path in (ranks / adapter).iterdir()) == ["adapter", "run.json"]
