"""What one process does with the fake provider."""

import os
import signal
from pathlib import Path

from qweft.devices.jobs import Retry
from tests.devices.jobs.circuits import SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice
from tests.devices.jobs.killing import Clockwork, KillingStore, killing_device


def send(folder, cloud, kill_at, numbers):
    """Have circuits measured; the process ends itself by SIGKILL before the step of that name."""
    clock = Clockwork(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    device = killing_device(FakeDevice(Cloud(cloud), most=2), clock)
    waiting = Retry(first=0.01, longest=0.05, settle=0.5, timeout=60)
    runner = executor(device, KillingStore(Path(folder), clock), jobs_at_once=2, retry=waiting)
    runner.run(circuits(*numbers), SHOTS)
