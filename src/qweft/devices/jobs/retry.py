"""Waiting times and retries for a provider."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from qweft.devices.device import UnavailableError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """Waiting times in seconds, with exponential backoff.

    Args:
        first: The first wait.
        factor: Ratio of consecutive waits.
        longest: Maximum wait.
        timeout: A run ends after this long without progress: no job was sent, settled or finished. Its jobs continue.
        attempts: Consecutive attempts to send a job that was not accepted, or to ask a question.
        settle: How long a provider may take to list an accepted job. Until then, a missing entry proves nothing, and
            the run goes on beyond the timeout.
        sleep: Function that waits.
        clock: Monotonic clock in seconds. The time of day can jump.
    """

    first: float = 2.0
    factor: float = 1.5
    longest: float = 60.0
    timeout: float = 3600.0
    attempts: int = 5
    settle: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def wait(self, number: int) -> None:
        """Wait for the number-th time in a row, counted from 0."""
        self.sleep(min(self.longest, self.first * self.factor ** min(number, 50)))

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask a question that costs nothing and return the answer. Retry after increasing waits."""
        for number in range(self.attempts - 1):
            try:
                return question()
            except UnavailableError:
                self.wait(number)
        return question()
