"""How long a run waits for a provider."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from qweft.devices.device import UnavailableError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """Waiting times in seconds; each wait is longer than the one before by a factor.

    Args:
        first: The first wait.
        factor: How much longer each further wait is.
        longest: No wait is longer.
        timeout: A run ends after so long without any job finishing; the jobs live on. It goes on for `settle` where it
            has a job to settle, which else would never be known, run after run.
        attempts: How often a job is sent again that was certainly not taken, or a question asked again.
        settle: How long a provider may take to list a job that it took; before that, that it lists none means nothing.
        sleep: Waits.
        clock: Seconds since any moment, which nobody sets: the time of day jumps.
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
        """Wait for the number-th time in a row, from 0."""
        self.sleep(min(self.longest, self.first * self.factor ** min(number, 50)))

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer, asked for again after longer and longer waits where there is none; for what costs nothing.

        Raises:
            UnavailableError: If there is none at last.
        """
        for number in range(self.attempts - 1):
            try:
                return question()
            except UnavailableError:
                self.wait(number)
        return question()
