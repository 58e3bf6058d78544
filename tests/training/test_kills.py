"""A run that is killed at any moment goes on, loses nothing, and ends in the same weights.

`make soak` kills at least 30 times; here it is a few (QWEFT_KILLS).
"""

import os
import random
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from tests.training.test_resume import config, files  # noqa: F401

from qweft.training.run import train

KILLS = int(os.environ.get("QWEFT_KILLS", "4"))
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def start(run):
    """Train in a process of its own, which has imported everything already; its number."""
    number = os.fork()
    if number == 0:
        status = 1
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1), os.dup2(silent, 2)
            torch.set_num_threads(1)
            train(run)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    return number


def ended(number, seconds):
    """The exit status of a process if it ends within so many seconds, else none."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    return None


def test_killed_again_and_again(files, tmp_path):  # noqa: F811
    training = {"max_steps": 24, "gradient_accumulation": 1}
    torch.set_num_threads(1)
    whole = train(config(files, tmp_path / "whole", every=None, training=training))
    draws, killed, runs, longest = random.Random(int(os.environ.get("QWEFT_SEED", "0"))), 0, 0, 8.0
    while killed < KILLS:
        run = config(files, tmp_path / f"killed-{runs}", every=1, training=training, resume="auto")
        while True:
            began = time.monotonic()
            number = start(run)
            if killed < KILLS and ended(number, draws.uniform(0, longest)) is None:
                os.kill(number, signal.SIGKILL)
                os.waitpid(number, 0)
                killed += 1
                continue
            status = ended(number, 120) if killed >= KILLS else 0
            assert status == 0
            longest = max(0.5, 0.8 * (time.monotonic() - began)) if status == 0 and killed < KILLS else longest
            break
        folder = tmp_path / f"killed-{runs}"
        found = load_file(folder / "adapter" / "adapter_model.safetensors")
        for name, tensor in load_file(whole.adapter_folder / "adapter_model.safetensors").items():
            assert torch.equal(found[name], tensor), name
        assert not (folder / "checkpoints").exists() and (folder / "run.json").is_file()
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
        runs += 1
