"""Every tensor is made on the device of its layer: shown without a GPU, on a device that does not exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUIET = ("-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys")
"""The last one leaves the child's standard error alone: what is said there outlives an end without a report."""


def test_on_a_device_that_does_not_exist():
    """In a child process: a device is made known to all of PyTorch, and stays."""
    registration = pytest.importorskip("torch.utils.backend_registration")
    if not hasattr(registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this PyTorch has no backends that are written in Python")
    child = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, *map(str, sorted(HERE.glob("checks_*.py")))],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert child.returncode == 0, child.stdout[-8000:] + child.stderr[-2000:]
    assert re.search(r"\.{60}", child.stdout), child.stdout
