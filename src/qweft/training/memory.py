"""The most memory that a stretch of work had in use."""

import ctypes
import gc
import sys
import threading
from types import TracebackType

import psutil
import torch


class PeakMemory:
    """Measures a `with` block: the device's own count on CUDA, else the largest resident size of this process.

    The resident size is read every 10 ms by a thread, so a peak that is shorter may be missed; it holds everything in
    the process, the base model included.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _release()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._stop.wait(0.01):
                return


def _release() -> None:
    """Give freed memory back to the system, so that an earlier run's peak is not counted again (glibc alone can)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)
