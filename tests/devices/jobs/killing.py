"""A store that ends the process at a chosen step of what an executor does with it."""

from contextlib import contextmanager

from qweft.devices.jobs.store import Store


class Killed(BaseException):
    """Stands for a kill in a test that has one process only: no error, and nothing catches it."""


class Clockwork:
    """Counts steps, and ends the process at one of them, by number or name; between them others may go on."""

    def __init__(self, at, end, between=lambda: None):
        self.at, self.end, self.between, self.steps = at, end, between, []

    def step(self, name):
        if self.at in (len(self.steps), name):
            self.end()
        self.steps.append(name)
        if name != "before its commit":
            self.between()


def kill():
    raise Killed


class KillingStore(Store):
    def __init__(self, folder, clock):
        super().__init__(folder)
        self._clock = clock

    @contextmanager
    def transaction(self):
        if self._open is not None:
            yield self._open
            return
        self._clock.step("before a transaction")
        with super().transaction() as connection:
            yield connection
            if connection.total_changes:
                self._clock.step("before its commit")
        self._clock.step("after a transaction")


def killing_device(device, clock):
    """The device, with a step before and after each of its calls."""
    for name in ("submit", "state", "fetch", "find"):
        setattr(device, name, _stepping(name, getattr(device, name), clock))
    return device


def _stepping(name, call, clock):
    def stepping(*arguments):
        clock.step(f"before {name}")
        try:
            return call(*arguments)
        finally:
            clock.step(f"after {name}")

    return stepping
