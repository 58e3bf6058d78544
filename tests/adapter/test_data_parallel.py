"""Two processes with half of the batch each get the gradients of one process with all of it."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from peft import get_peft_model
from qweft import QwthnConfig
from qweft.adapter import batched_build
from tests.tiny_models import tiny_llama

torch.set_num_threads(1)
rank, store, cases = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)

def ready(preset, reentrant):
    if preset == "basis":  # its directions are found by the first backward pass, of both halves
        config = QwthnConfig.preset("mpo", compress="basis", expand="basis", r=3)
    else:
        config = QwthnConfig.preset(preset, r=3, width=8, bond_dimension=2, circuit_layers=2, init_weights=False)
    torch.manual_seed(3)
    model = get_peft_model(tiny_llama(), config).train()
    if reentrant is not None:
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
    return model

def wrapped(model, wrapper):
    if wrapper == "ddp":
        return DistributedDataParallel(model)
    for layer in model.base_model.model.model.layers:
        fully_shard(layer)
    return fully_shard(model)

def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor

def trained(model):
    return [p for p in model.parameters() if p.requires_grad]

def check(preset, wrapper, reentrant):
    tokens = torch.arange(48).view(4, 12)
    single = ready(preset, reentrant)
    parallel = wrapped(ready(preset, reentrant), wrapper)
    optimizers = [torch.optim.SGD(trained(m), lr=0.5) for m in (single, parallel)]
    for step in range(3):
        single(input_ids=tokens, labels=tokens).loss.backward()
        half = tokens[2 * rank : 2 * rank + 2]
        parallel(input_ids=half, labels=half).loss.backward()
        for mine, theirs in zip(trained(parallel), trained(single), strict=True):
            assert theirs.grad.any() or (preset, step) == ("basis", 0)
            torch.testing.assert_close(full(mine.grad), theirs.grad, rtol=1e-4, atol=1e-6)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            losses = [m(input_ids=tokens, labels=tokens).loss for m in (parallel, single)]
        torch.testing.assert_close(*losses)

for preset, wrapper, reentrant in cases:
    print("begun:", preset, wrapper, reentrant, file=sys.stderr, flush=True)
    check(preset, wrapper, reentrant)
dist.destroy_process_group()
"""


# What is trained, how the model is wrapped, whether checkpointing is re-entrant, or none; in the same two processes.
CASES = [("qtha", "ddp", True), ("qtha", "fsdp", False), ("basis", "ddp", None), ("basis", "fsdp", None)]


def test_two_ranks_equal_one(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROGRAM]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), json.dumps(CASES)],
            cwd=root,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [rank.communicate(timeout=600)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
