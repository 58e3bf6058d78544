"""Two processes train as one does."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tests.training.test_resume import config, files  # noqa: F401

from qweft.training.config import ValidationConfig
from qweft.training.run import train


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


@pytest.mark.slow
@pytest.mark.parametrize(("adapter", "trained"), [("qtha", 640), ("basis", 64)])
def test_two_ranks_are_one(files, tmp_path, adapter, trained):  # noqa: F811
    """Started as accelerate starts a rank; each takes half of a batch."""
    batch = {"batch_size": 4}
    alone = config(files, tmp_path / "one", adapter, None, batch, validation=ValidationConfig(every=4))
    alone = replace(alone, adapter=alone.adapter | {"dropout": 0.0})  # two processes draw other numbers than one
    one = train(alone)
    launch = [
        "launch", "--cpu", "--num_machines", "1", "--num_processes", "2", "--main_process_ip", "127.0.0.1",
        "--main_process_port", str(free_port()), "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "qweft",
    ]  # fmt: skip
    words = ["train", *options(replace(alone, output=str(tmp_path / "two"))), "--training.batch_size", "2"]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch, *words],
            env={**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    said = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    assert f"training {trained}" in said[0] and f"training {trained}" not in said[1]  # the first one speaks
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["training"]["steps"] == 8
    for (_, theirs), (_, ours) in zip(record["training"]["curve"], one.fit.curve, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
    found = load_file(tmp_path / "two" / "adapter" / "adapter_model.safetensors")
    for name, tensor in load_file(one.adapter_folder / "adapter_model.safetensors").items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["adapter", "run.json"]
