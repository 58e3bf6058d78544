"""Two processes that share out the model by FSDP train as one does. accelerate leaves FSDP on CPUs out: fsdp_on_cpu."""

import json
import os
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
from tests.training.test_processes import assert_trained_alike, free_port, options
from tests.training.test_resume import config, files  # noqa: F401

ROOT = Path(__file__).parents[2]
ADAPTER = "adapter/adapter_model.safetensors"
RATE, HIGH_RATE = 1e-2, 2.0
"""Of training, and of one that is best halfway: what comes after that step differs in more than rounding."""
RUNS = {
    "qtha": ("qtha", RATE),
    "best_halfway": ("qtha", HIGH_RATE),
    "basis": ("basis", RATE),
    "sparse": ("sparse", RATE),
}


def whole(files, output, name):  # noqa: F811
    """The run of one process, with all of a batch."""
    adapter, rate = RUNS[name]
    budget = {"batch_size": 4, "learning_rate": rate}
    run = config(files, output, adapter, None, budget, validation=ValidationConfig(every=4))
    dropout = "lora_dropout" if adapter == "lora" else "dropout"
    start = {"start": "small"} if adapter == "qtha" else {}  # whose rate RATE is
    return replace(run, adapter=run.adapter | start | {dropout: 0.0})  # two processes draw other numbers than one


@pytest.fixture(scope="module")
def ones(files, tmp_path_factory):  # noqa: F811
    """Each run in this process alone, in float64 as those in shares."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "choose_dtype", lambda *_: torch.float64)
        return {name: train(whole(files, folder / name, name)) for name in RUNS}


class Shares:
    """The same runs in two processes each: one launch for all of them.

    Args:
        folder: Of what the runs left, by name, and of what they said.
        launched: How the launch ended.
    """

    def __init__(self, folder, launched):
        self.folder, self.launched = folder, launched

    def ended(self, name):
        """The statuses of both processes, the checkpoints that they left, and all that they said."""
        if self.launched.returncode:
            pytest.fail(self.launched.stdout + self.launched.stderr)
        ends = [json.loads((self.folder / f"{name}-{rank}.json").read_text()) for rank in "01"]
        said = [(self.folder / f"{name}-{rank}.said").read_text() for rank in "01"]
        return [status for status, _ in ends], ends[1][1], "\n".join(said)


@pytest.fixture(scope="module")
def shares(files, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("shares")
    plan = {}

    def add(name, run, *words, output=None, stop_after=None):
        batch = ["--training.batch_size", "2", "--training.learning_rate", str(RUNS[run][1])]
        command = ["train", *options(whole(files, folder / (output or name), run)), *batch, *words]
        plan[name] = (command, free_port(), stop_after)

    for run in RUNS:
        add(run, run)
    for run in ("qtha", "basis"):
        add(f"{run}_killed", run, stop_after=3)
        add(f"{run}_again", run, "--resume", "auto", output=f"{run}_killed")
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
    return Shares(folder, launched)


def same(folder, one, adapter):
    """What two processes left in a folder is what one left."""
    record = json.loads((folder / "run.json").read_text())
    assert (record["training"]["steps"], record["training"]["best_step"]) == (8, one.fit.best_step)
    until = one.fit.best_step  # what follows is not in the weights, and may be far from learning
    for (_, theirs), (_, ours) in zip(record["training"]["curve"][:until], one.fit.curve[:until], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-6)  # transformers takes the loss in float32
    assert record["adapted"]["loss"] == pytest.approx(one.adapted.loss, rel=1e-6)
    found, wanted = load_file(folder / ADAPTER), load_file(one.adapter_folder / Path(ADAPTER).name)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert_trained_alike(found[name], tensor, adapter)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter", "run.json"]


@needs_fork
@pytest.mark.slow
@pytest.mark.xdist_group("fsdp")
@pytest.mark.parametrize("name", RUNS)
def test_two_shares_are_one(ones, shares, name):
    """Where the best adapter is not the last, its weights are put back into the shares."""
    statuses, _, said = shares.ended(name)
    assert statuses == [0, 0], said
    assert said.count("adapter: ") == 1  # the first process speaks
    one = ones[name]
    assert (one.fit.best_step == one.fit.steps) == (name != "best_halfway")
    same(shares.folder / name, one, RUNS[name][0])


@needs_fork
@pytest.mark.slow
@pytest.mark.xdist_group("fsdp")
@pytest.mark.parametrize("name", ["qtha", "basis"])
def test_a_killed_run_goes_on_in_its_shares(ones, shares, name):
    statuses, checkpoints, said = shares.ended(f"{name}_killed")
    assert 9 in statuses and 0 not in statuses and checkpoints == ["checkpoint-3"], said
    statuses, _, said = shares.ended(f"{name}_again")
    assert statuses == [0, 0] and "checkpoint-3" in said.replace("\n", ""), said
    same(shares.folder / f"{name}_killed", ones[name], name)
