"""What a comparison was computed with: versions, machine, commit, command."""

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
    """What the results were computed with, for the record.

    Args:
        model_origin: Where the weights came from, and in which form.
        data_fingerprint: Names the rows, so that another run can be held against them.
        command: The command line.
        device: The model's device ("cpu", "cuda:0"); none means the default one.
        dtype: The base model's type; none leaves it open.
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
    """Version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    """The processor's name as its maker gives it, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """The commit of qweft's own source, with "+" where files were changed since; none where it is not in git."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        # An installed copy may lie inside the working tree of another project, whose commit would say nothing.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
