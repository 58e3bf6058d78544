"""The tests for a GPU themselves, run on the CPU: a mistake in one of them would else be found on a GPU only."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.device import REHEARSAL

HERE = Path(__file__).parent


@pytest.mark.skipif(REHEARSAL, reason="this is the child process")
def test_the_gpu_tests_pass_on_the_cpu():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "gpu", str(HERE)]
    child = subprocess.run(
        command,
        env={**os.environ, "QWEFT_GPU_REHEARSAL": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert child.returncode == 0, child.stdout[-8000:] + child.stderr[-2000:]
    assert re.search(r"\.{40}", child.stdout), child.stdout  # most of them run there
