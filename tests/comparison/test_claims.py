"""Runs that are shared by processes: made once, and the same as from one process."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import yaml

from qweft.cli.main import main
from qweft.comparison import trial, workers
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig
from tests.forked import Forked, needs_fork

HOLD = """
import sys, pathlib
from qweft.comparison.workers import claimed
with claimed(pathlib.Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.readline()
"""


def hold(folder):
    """A process that claims the folder, and whether it got it; it holds the claim until it is told or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip() == "True"


def test_a_folder_is_claimed_by_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    other, has_it = hold(tmp_path)
    assert has_it
    with workers.claimed(tmp_path) as ours:
        assert not ours
    other.send_signal(signal.SIGKILL)
    other.wait()
    with workers.claimed(tmp_path) as ours:
        assert ours
        second, has_it = hold(tmp_path)
        assert not has_it
        second.communicate("\n")
    with workers.claimed(tmp_path) as ours:
        assert ours


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


def ended(process):
    """How many runs a process made, once it has ended well and said where the report is."""
    assert process.ended(600) == 0 and "[7/7]" in process.said and "report:" in process.said, process.said
    return int(process.said.split()[-1])


def outcome(record):
    """What a run gave, without its times and its memory."""
    timed = ("started", "seconds", "step_seconds_median", "peak_memory_bytes")
    timed += ("step_seconds_spread", "cpu_by_others", "load_average")
    return {key: value for key, value in record.items() if key not in timed}


@needs_fork
def test_two_processes_share_a_comparison_and_give_what_one_gives(places, tmp_path):
    lora = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    config = ComparisonConfig(
        methods={"lora": MethodConfig(lora), "lora_r4": MethodConfig({**lora, "r": 4})},
        model=ModelConfig(name=places[0]),
        data=DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        training=TrainingConfig(max_steps=6, batch_size=2, gradient_accumulation=1),
        evaluation=EvaluationConfig(answers=1, max_new_tokens=4),
        seeds=[0, 1, 2],
    )
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(asdict(config)))

    def start(name, number=0):
        words = ["compare", str(path), "--output", str(tmp_path / name)]
        return Forked(lambda: counted(words), tmp_path / f"{name}-{number}.txt")

    together = [start("two", number) for number in range(2)]
    assert sum(map(ended, together)) == 6
    assert ended(start("one")) == 6
    two, one = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("two", "one"))
    assert [outcome(record) for record in two["runs"]] == [outcome(record) for record in one["runs"]]
