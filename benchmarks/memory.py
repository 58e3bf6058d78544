"""Peak of resident memory, as Linux counts it."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (the peak since the last reset)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def peak_of(work: Callable[[], Any]) -> tuple[int, int]:
    """The process's peak while it works, in all and above what was resident before, in bytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")
    before = resident("VmRSS")
    work()
    peak = resident("VmHWM")
    return peak, max(0, peak - before)
