"""One process with the fake provider: python -m tests.devices.jobs.process FOLDER CLOUD KILL_AT NUMBERS.

It ends itself by SIGKILL before the step of that name.
"""

import os
import signal
import sys
from pathlib import Path

from qweft.devices.jobs import Patience
from tests.devices.jobs.circuits import SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice
from tests.devices.jobs.killing import Clockwork, KillingStore, killing_device


def main(folder, cloud, kill_at, numbers):
    clock = Clockwork(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    device = killing_device(FakeDevice(Cloud(cloud), most=2), clock)
    waiting = Patience(first=0.01, longest=0.05, settle=0.5, timeout=60)
    runner = executor(device, KillingStore(Path(folder), clock), jobs_at_once=2, patience=waiting)
    runner.run(circuits(*map(int, numbers.split(","))), SHOTS)


if __name__ == "__main__":
    main(*sys.argv[1:])
