"""Processes that share an output folder: runs are made once, the cores are shared out, and a stop ends all."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from qweft.cli.main import main
from qweft.comparison.run import trial, workers
from tests.comparison.comparison_examples import LORA, comparison
from tests.forked import Forked, needs_fork

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
HOLD = """
import sys, pathlib
from qweft.comparison.run.workers import claimed
with claimed(pathlib.Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.readline()
"""
TIMED = {"started", "seconds", "step_seconds_median", "peak_memory_bytes", "step_seconds_spread", "cpu_by_others",
         "load_average"}  # fmt: skip


def hold(folder):
    """A process that claims the folder, and whether it got it; it holds the claim until it is told or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip() == "True"


def test_a_folder_is_claimed_by_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    other, has_it = hold(tmp_path)
    assert has_it
    with workers.claimed(tmp_path) as is_own:
        assert not is_own
    other.send_signal(signal.SIGKILL)
    other.wait()
    with workers.alone(tmp_path):
        second, has_it = hold(tmp_path)
        assert not has_it
        second.communicate("\n")


def counted(words):
    """Run a command, and say how many trainings it made."""
    fit, trained = trial.fit, []

    def slower(*arguments):
        time.sleep(0.5)  # time enough to meet the other process
        trained.append(arguments)
        return fit(*arguments)

    trial.fit = slower
    status = main(words)
    print("trained", len(trained))
    return status


@needs_fork
def test_two_processes_share_a_comparison_and_give_what_one_gives(places, tmp_path):
    config = comparison(places, tmp_path, methods={"lora": LORA, "lora_r4": {**LORA, "r": 4}})
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(asdict(config)))

    def start(name, number=0):
        words = ["compare", str(path), "--output", str(tmp_path / name)]
        return Forked(lambda: counted(words), tmp_path / f"{name}-{number}.txt")

    def made_by(process):
        assert process.ended(600) == 0 and "[7/7]" in process.said and "report:" in process.said, process.said
        return int(process.said.split()[-1])

    together = [start("two", number) for number in range(2)]
    assert sum(map(made_by, together)) == 6 == made_by(start("one"))
    two, one = (json.loads((tmp_path / name / "results.json").read_text())["runs"] for name in ("two", "one"))
    assert [{**run, **dict.fromkeys(TIMED)} for run in two] == [{**run, **dict.fromkeys(TIMED)} for run in one]


def test_the_first_process_takes_its_share_of_the_cores_and_imports_no_torch_before(tmp_path):
    # The runs are replaced by a look at the threads, and the other worker by the program `true`.
    code = f"""
import os, sys, types
import qweft.cli.main, qweft.comparison.run.workers
print([name for name in ('torch', 'transformers', 'numba') if name in sys.modules])

def compare(*_, begin, **__):
    begin()
    import torch
    print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"])

sys.modules["qweft.comparison.runner"] = types.SimpleNamespace(compare=compare)
sys.executable = "true"
os.cpu_count = lambda: 2
qweft.cli.main.main(["compare", {str(DEMO)!r}, "--workers", "2", "--output", {str(tmp_path)!r}])
"""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True, env=env)
    assert ran.stdout.split()[:4] == ["[]", "1", "1", "1"] and (tmp_path / "worker-2.log").is_file()


def test_a_stop_ends_the_workers_too(tmp_path, monkeypatch):
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nexec sleep 600\n")
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt), workers.local_workers(["compare"], "local", 3, tmp_path) as begin:
        begin()
        raise KeyboardInterrupt
    assert [process.poll() for process in started] == [-signal.SIGTERM] * 2
