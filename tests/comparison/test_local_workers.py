"""Worker processes on this machine: the cores are shared out before PyTorch counts them."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qweft.comparison import workers as module

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


def fresh(code):
    """Standard output of the code in a new process in which no number of threads is set."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True, env=env)
    return ran.stdout.split()


@pytest.mark.parametrize("command", ["compare", "tune", "sweep"])
def test_importing_local_workers_leaves_torch_out(command):
    code = (
        f"import sys, qweft.cli.{command}, qweft.comparison.workers\n"
        "print([name for name in ('torch', 'transformers', 'numba') if name in sys.modules])"
    )
    assert fresh(code) == ["[]"]


def test_the_first_process_takes_its_share_of_the_cores(tmp_path):
    # The runs are replaced by a look at the threads, and the other worker by the program `true`.
    code = f"""
import os, sys, types
from qweft.cli.main import main

def compare(*_, begin, **__):
    begin()
    import torch
    print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"])
    return "none"

sys.modules["qweft.comparison.runner"] = types.SimpleNamespace(compare=compare)
sys.executable = "true"
os.cpu_count = lambda: 2
main(["compare", {str(DEMO)!r}, "--workers", "2", "--output", {str(tmp_path)!r}])
"""
    assert fresh(code)[:3] == ["1", "1", "1"]
    assert (tmp_path / "worker-2.log").is_file()


@pytest.mark.parametrize("when", ["in the block", "while it waits for the workers"])
def test_a_stop_ends_the_workers_too(tmp_path, monkeypatch, when):
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nexec sleep 600\n")
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(module.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt), module.local_workers(["compare"], "local", 3, tmp_path) as begin:
        begin()
        if when == "in the block":
            raise KeyboardInterrupt
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert [process.poll() for process in started] == [-signal.SIGTERM] * 2
