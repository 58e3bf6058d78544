"""The environment of a run: versions, machine, commit, command, and the load of the machine beside it."""

import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ALONE = 0.1
"""Share of the processors up to which other processes leave a time alone; a quiet machine has 0.01 to 0.03."""
SHORTEST = 0.5
"""Least CPU time of all cores, in seconds, for a share: the system counts in hundredths."""


@dataclass(frozen=True)
class MachineLoad:
    """Share of the processors' time that others took, 0 to 1, and load average at the end; `None` if unknown."""

    cpu_by_others: float | None
    load_average: float | None


class LoadMeter:
    """Measures the load by others than this process and its children, on its cores, from now on."""

    def __init__(self) -> None:
        self._begun = cpu_seconds()

    def read(self) -> MachineLoad:
        """Return the load since the creation."""
        now = cpu_seconds()
        whole, busy, own = (after - before for before, after in zip(self._begun, now, strict=True))
        share = None if whole < SHORTEST else round(min(1.0, max(0.0, (busy - own) / whole)), 4)
        return MachineLoad(share, round(psutil.getloadavg()[0], 2))


def cpu_seconds() -> tuple[float, float, float]:
    """Return CPU seconds since the machine's start: of the cores, of all processes on them, and of our own."""
    process = psutil.Process()
    own = sum(process.cpu_times()[:4])  # user and system, of itself and of ended children
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            own += sum(child.cpu_times()[:4])
    each = psutil.cpu_times(percpu=True)
    allowed = process.cpu_affinity() if hasattr(process, "cpu_affinity") else range(len(each))
    cores = [each[core] for core in allowed if core < len(each)]
    whole = sum(map(sum, cores))
    return whole, whole - sum(core.idle + getattr(core, "iowait", 0.0) for core in cores), own


def share_said(share: float | None) -> str:
    """Return a share of the processors that others took as text; a question mark if it is not known."""
    return "?" if share is None else f"{100 * share:.0f}%"


def environment(
    model_origin: str, data_fingerprint: str, command: str, device: str | None = None, dtype: str | None = None
) -> dict[str, Any]:
    """Return the environment that produced a set of results, for their record."""
    import torch  # here, since what other functions measure is told without it

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return {
        **{name: version(name) for name in ("qweft", "torch", "transformers", "peft")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else _cpu_name(),
        "dtype": dtype,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": source_commit(),
        "command": command,
        "model_origin": model_origin,
        "data_fingerprint": data_fingerprint,
    }


def _cpu_name() -> str:
    """Return the vendor's name of the processor, else what `platform` reports."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def source_commit() -> str | None:
    """Return the commit of Qweft's source, with "+" if tracked files differ; `None` without a repository of its own."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():  # an installed copy may lie in another project's tree
        return None
    describe = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(describe, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    return None
