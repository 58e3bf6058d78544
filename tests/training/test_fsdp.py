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
from tests.training.test_processes import free_port, options
from tests.training.test_resume import config, files  # noqa: F401

from qweft.errors import QweftError
from qweft.training.config import ValidationConfig
from qweft.training.run import train
from qweft.training.sharded import settle_sharding

ROOT = Path(__file__).parents[2]
ADAPTER = "adapter/adapter_model.safetensors"


def sharded(run, *words, **environment):
    launch = [
        "launch", "--use_fsdp", "--fsdp_version", "2", "--num_machines", "1", "--num_processes", "2",
        "--main_process_port", str(free_port()), "--mixed_precision", "no", "--dynamo_backend", "no",
        "-m", "tests.training.fsdp_on_cpu", "train", *options(run), "--training.batch_size", "2", *words,
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, cwd=ROOT, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


def whole(files, output, adapter, rate=1e-2):  # noqa: F811
    """The run of one process, with all of a batch."""
    budget = {"batch_size": 4, "learning_rate": rate}
    run = config(files, output, adapter, None, budget, validation=ValidationConfig(every=4))
    dropout = "lora_dropout" if adapter == "lora" else "dropout"
    return replace(run, adapter=run.adapter | {dropout: 0.0})  # two processes draw other numbers than one


def same(folder, one, atol=1e-5):
    """What two processes left in a folder is what one left."""
    record = json.loads((folder / "run.json").read_text())
    assert (record["training"]["steps"], record["training"]["best_step"]) == (8, one.fit.best_step)
    until = one.fit.best_step  # what follows is not in the weights, and may be far from learning
    for (_, theirs), (_, ours) in zip(record["training"]["curve"][:until], one.fit.curve[:until], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4)
    assert record["adapted"]["loss"] == pytest.approx(one.adapted.loss, rel=1e-4)
    found, wanted = load_file(folder / ADAPTER), load_file(one.adapter_folder / Path(ADAPTER).name)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=atol)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter", "run.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "rate", "is_last_best"),
    [("qtha", 1e-2, True), ("qtha", 2.0, False), ("basis", 1e-2, True), ("sparse", 1e-2, True)],
)
def test_two_shares_are_one(files, tmp_path, adapter, rate, is_last_best):  # noqa: F811
    """Where the best adapter is not the last, its weights are put back into the shares."""
    one = train(whole(files, tmp_path / "one", adapter, rate))
    two = sharded(whole(files, tmp_path / "two", adapter, rate), "--training.learning_rate", str(rate))
    assert two.returncode == 0, two.stdout + two.stderr
    assert two.stdout.count("adapter: ") == 1  # the first process speaks
    assert (one.fit.best_step == one.fit.steps) == is_last_best
    same(tmp_path / "two", one, 1e-5 if is_last_best else 0.1)  # steps of 2 make much of rounding


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["qtha", "basis"])
def test_a_killed_run_goes_on_in_its_shares(files, tmp_path, adapter):  # noqa: F811
    one = train(whole(files, tmp_path / "one", adapter))
    run = whole(files, tmp_path / "two", adapter)
    killed = sharded(run, STOP_AFTER="3")
    assert killed.returncode and [path.name for path in (tmp_path / "two" / "checkpoints").iterdir()] == ["step-3"]
    again = sharded(run, "--resume", "auto")
    assert again.returncode == 0 and "going on from step 3" in again.stdout, again.stdout + again.stderr
    same(tmp_path / "two", one)


def test_the_first_version_is_refused(files, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(QweftError, match=r"FSDP of version 1, .* --fsdp_version 2"):
        train(whole(files, tmp_path, "qtha"))


def test_accelerate_is_told_what_the_user_did_not_say(monkeypatch):
    for key in ("ACCELERATE_USE_FSDP", "FSDP_AUTO_WRAP_POLICY", "FSDP_CPU_RAM_EFFICIENT_LOADING"):
        monkeypatch.delenv(key, raising=False)
    settle_sharding()
    assert not {"FSDP_AUTO_WRAP_POLICY", "FSDP_CPU_RAM_EFFICIENT_LOADING"} & set(os.environ)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_AUTO_WRAP_POLICY", "SIZE_BASED_WRAP")
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    settle_sharding()
    assert os.environ["FSDP_AUTO_WRAP_POLICY"] == "SIZE_BASED_WRAP"
    assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
    monkeypatch.delenv("FSDP_AUTO_WRAP_POLICY")
    settle_sharding()
    assert os.environ["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
    monkeypatch.delenv("FSDP_AUTO_WRAP_POLICY")
