"""qweft in the processes of an accelerate launch; with accelerate's FSDP on CPUs, where accelerate itself has none.

It runs the commands of a plan, a JSON file, each in a process forked from this rank: PyTorch is imported once. Models
are in float64, so that two processes give what one gives on any processor.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from qweft.cli.main import main
from qweft.models import load
from qweft.training.callbacks import Checkpoints
from tests.forked import Forked

SECONDS = 300
"""Until a run that does not end is killed."""
made = AcceleratorState.__init__
complete = Checkpoints.on_save


def shards_on_cpus(self, *args, fsdp_plugin=None, **kwargs):
    made(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin


def run(words, port, stop_after, is_shared):
    """One command in a store of its own; it may end, as if it were killed, right after the checkpoint of a step."""
    os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    if not is_shared:
        os.environ |= {"ACCELERATE_USE_FSDP": "false", "ACCELERATE_USE_CPU": "true"}

    def stop(self, args, state, control, **kwargs):
        complete(self, args, state, control, **kwargs)
        if state.global_step == stop_after:
            os._exit(9)

    Checkpoints.on_save = stop
    return main(words)


def run_all(plan):
    """Leave in files what each command said on each rank, its status there, and the names of its checkpoints."""
    rank = os.environ["RANK"]
    for name, (words, *how) in json.loads(plan.read_text()).items():
        said = plan.with_name(f"{name}-{rank}.said")
        one = Forked(lambda words=words, how=how: run(words, *how), said)
        status = one.ended(SECONDS)
        one.kill()
        plan.with_name(f"{name}-{rank}.ended").touch()
        until = time.monotonic() + SECONDS
        while not all(plan.with_name(f"{name}-{other}.ended").exists() for other in "01") and time.monotonic() < until:
            time.sleep(0.01)  # the other one may be removing the checkpoints
        kept = Path(words[words.index("--output") + 1]) / "checkpoints"
        left = [path.name for path in kept.glob("checkpoint-*")]
        plan.with_name(f"{name}-{rank}.json").write_text(json.dumps([status, left]))


if __name__ == "__main__":
    AcceleratorState.__init__ = shards_on_cpus
    load.choose_dtype = lambda *_: torch.float64
    run_all(Path(sys.argv[1]))
