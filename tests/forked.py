"""Processes that begin where this one stands: without the seconds that each import of PyTorch takes."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Forked:
    """A process that does some work and ends with the status that the work returns; none is 0.

    What it prints goes into the file `said`. It computes on one thread, and this process does so from now on: threads
    do not come along.
    """

    def __init__(self, work: Callable[[], int | None], said: Path):
        self._said = said
        self._status: int | None = None
        torch.set_num_threads(1)
        self.number = os.fork()
        if self.number == 0:
            self._be(work)

    def _be(self, work: Callable[[], int | None]) -> None:
        status = 1
        try:
            with self._said.open("w", encoding="utf-8", buffering=1) as sys.stdout:
                sys.stderr = sys.stdout
                os.dup2(sys.stdout.fileno(), 1), os.dup2(sys.stdout.fileno(), 2)
                try:
                    status = work() or 0
                except BaseException:
                    traceback.print_exc()
        finally:
            os._exit(status)  # nothing of pytest's own end

    @property
    def said(self) -> str:
        """What it printed until now."""
        return self._said.read_text(encoding="utf-8")

    def ended(self, seconds: float = 0) -> int | None:
        """Its status if it ends within so many seconds, that of a killed one negative, else none."""
        limit = time.monotonic() + seconds
        while self._status is None:
            found, status = os.waitpid(self.number, os.WNOHANG)
            if found:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= limit:
                break
            else:
                time.sleep(0.002)
        return self._status

    def kill(self) -> None:
        """End it at once, as nothing can catch."""
        if self.ended() is None:
            os.kill(self.number, signal.SIGKILL)
            self.ended(60)
