"""qweft with accelerate's FSDP on CPUs, where accelerate itself has none; accelerate launch starts it."""

import os
import sys

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from qweft.cli.main import main
from qweft.training.checkpoints import Checkpoints

STOP_AFTER = "STOP_AFTER"
"""In the environment: the process ends, as if it were killed, right after the checkpoint of that step."""
made = AcceleratorState.__init__


def shards_on_cpus(self, *args, fsdp_plugin=None, **kwargs):
    made(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin


if os.environ.get("ACCELERATE_USE_FSDP") == "true":
    AcceleratorState.__init__ = shards_on_cpus

if STOP_AFTER in os.environ:
    keep = Checkpoints.keep

    def stop(self, step, failed=None):
        keep(self, step, failed)
        if step == int(os.environ[STOP_AFTER]):
            os._exit(9)

    Checkpoints.keep = stop

if __name__ == "__main__":
    sys.exit(main())
