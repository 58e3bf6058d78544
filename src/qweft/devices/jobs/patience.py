"""How long a run waits for a provider."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Waiting times in seconds; each wait is longer than the one before by a factor.

    Args:
        first: The first wait.
        factor: How much longer each further wait is.
        longest: No wait is longer.
        timeout: A run ends after so long without any job finishing; the jobs live on.
        attempts: How often a job is sent again that was certainly not taken, or a question asked again.
        settle: How long a provider may take to list a job that it took; before that, that it lists none means nothing.
        sleep: Waits.
        clock: Seconds since 1970.
    """

    first: float = 2.0
    factor: float = 1.5
    longest: float = 60.0
    timeout: float = 3600.0
    attempts: int = 5
    settle: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time

    def wait(self, number: int) -> None:
        """Wait for the number-th time in a row, from 0."""
        self.sleep(min(self.longest, self.first * self.factor ** min(number, 50)))
