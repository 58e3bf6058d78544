"""The environment of a run: versions, machine, commit, command."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def environment(
    model_origin: str, data_fingerprint: str, command: str, device: str | None = None, dtype: str | None = None
) -> dict[str, Any]:
    """Return the environment that produced a set of results, for their record.

    Args:
        model_origin: Source of the weights and their form, as in `ModelSource.origin`.
        data_fingerprint: Hash of the rows, to tell whether two runs used the same data.
        command: The command line.
        device: The model's device ("cpu", "cuda:0"); `None` means "cuda" if available, else "cpu".
        dtype: Type of the base model's weights; `None` if unknown.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return {
        **{name: _version(name) for name in ("qweft", "torch", "transformers", "peft")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else _cpu_name(),
        "dtype": dtype,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": _git_commit(),
        "command": command,
        "model_origin": model_origin,
        "data_fingerprint": data_fingerprint,
    }


def _version(package: str) -> str | None:
    """Return the version of a package; `None` if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    """Return the vendor's name of the processor, else what `platform` reports."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Return the commit of Qweft's source, with "+" if tracked files differ; `None` if it is not in git."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        # An installed copy may lie inside the working tree of another project, whose commit is irrelevant.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
