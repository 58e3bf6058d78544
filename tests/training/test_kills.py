"""A run that is killed at any moment goes on, loses nothing, and ends in the same weights.

`make soak` kills at least 30 times; here it is a few (QWEFT_KILLS).
"""

import os
import random
import time

import torch
from safetensors.torch import load_file

from qweft.training.run import train
from tests.forked import Forked, needs_fork
from tests.training.test_resume import config, files  # noqa: F401

KILLS = int(os.environ.get("QWEFT_KILLS", "4"))
pytestmark = needs_fork


def test_killed_again_and_again(files, tmp_path):  # noqa: F811
    training = {"max_steps": 24, "gradient_accumulation": 1}
    torch.set_num_threads(1)
    whole = train(config(files, tmp_path / "whole", every=None, training=training))
    draws, killed, runs, longest = random.Random(int(os.environ.get("QWEFT_SEED", "0"))), 0, 0, 8.0
    while killed < KILLS:
        run = config(files, tmp_path / f"killed-{runs}", every=1, training=training, resume="auto")
        while True:
            began = time.monotonic()
            process = Forked(lambda run=run: train(run) and None, tmp_path / "said")
            if killed < KILLS and process.ended(draws.uniform(0, longest)) is None:
                process.kill()
                killed += 1
                continue
            status = process.ended(600)
            assert status == 0, process.said
            longest = max(0.5, 0.8 * (time.monotonic() - began)) if status == 0 and killed < KILLS else longest
            break
        folder = tmp_path / f"killed-{runs}"
        found = load_file(folder / "adapter" / "adapter_model.safetensors")
        for name, tensor in load_file(whole.adapter_folder / "adapter_model.safetensors").items():
            assert torch.equal(found[name], tensor), name
        assert not (folder / "checkpoints").exists() and (folder / "run.json").is_file()
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
        runs += 1
