"""Commands that share an output folder, and commands that are stopped by a signal."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from qweft.cli.main import main
from qweft.core.claims import CLAIM, claimed_output
from qweft.evaluation import saved
from qweft.training.trainer import StepRecorder
from tests.forked import Forked, needs_fork
from tests.tiny_folder import save_rows, save_tiny_model

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
CIRCUIT = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a tiny model, rows, an adapter with a circuit, and a config of each command that trains."""
    folder = tmp_path_factory.mktemp("stopped")
    shared = {
        "model": {"name": save_tiny_model(folder / "model"), "device": "cpu"},
        "data": {"source": save_rows(folder / "rows.jsonl"), "validation_rows": 4, "test_rows": 4, "max_length": 48},
        "training": {"max_steps": 6, "batch_size": 2, "gradient_accumulation": 1},
    }
    methods = {"lora": {"adapter": LORA}, "more": {"adapter": {**LORA, "r": 4}}}
    sized = {"qtha": {"adapter": {**CIRCUIT, "target_modules": ["q_proj", "v_proj"]}}}
    configs = {
        "train": {"adapter": CIRCUIT},
        "compare": {"methods": methods, "seeds": [0, 1], "evaluation": {"answers": 0}},
        "tune": {"methods": methods, "seeds": [0], "rates": [1e-3, 1e-2]},
        "sizes": {"methods": sized, "space": {"r": {"values": [2, 4, 6, 8]}}, "trials": 3},
    }
    for name, own in configs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**shared, **own}))
    assert main(["train", f"{folder}/train.yaml", "--output", f"{folder}/run", "--training.max_steps", "1"]) == 0
    return folder


def words_of(command, workplace, output):
    """A command line of the command that writes to the output folder."""
    if command in ("export", "evaluate"):
        more = ["--force"] if command == "export" else ["--device", "exact"]
        return [command, str(workplace / "run" / "adapter"), "--output", str(output), *more]
    name = "tune" if command == "sizes" else command
    return [name, str(workplace / f"{command}.yaml"), "--output", str(output)]


def hold(output, command, released):
    """Hold the folder in another process until a file appears; return once it is held."""

    def work():
        lock = output.with_name(f".{output.name}{CLAIM}") if command == "export" else None
        with claimed_output(output, f"qweft {command}", lock=lock):
            for _ in range(6000):
                if released.exists():
                    return
                time.sleep(0.01)

    process = Forked(work, output.with_name("held.txt"))
    note = output.with_name(f".{output.name}{CLAIM}.json") if command == "export" else output / f"{CLAIM}.json"
    while not note.exists():
        time.sleep(0.01)
    return process


@needs_fork
@pytest.mark.parametrize("command", ["train", "compare", "export"])
def test_a_folder_that_is_written_is_refused_with_its_holder(workplace, tmp_path, capsys, command):
    output, released = tmp_path / "out", tmp_path / "released"
    process = hold(output, command, released)
    before = sorted(tmp_path.rglob("*"))
    assert main(words_of(command, workplace, output)) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"output {output} is in use by qweft {command} (process {process.number} on " in message
    assert sorted(tmp_path.rglob("*")) == before
    released.touch()
    assert process.ended(60) == 0
    assert not output.exists()  # it had made it, and left nothing there


def signal_at(monkeypatch, step, number):
    """This process gets the signal in the step of that number, counted over all trainings."""
    steps, on_step_end = [], StepRecorder.on_step_end

    def end(self, *arguments, **named):
        on_step_end(self, *arguments, **named)
        steps.append(step)
        if len(steps) == step:
            os.kill(os.getpid(), number)
            time.sleep(1)  # the handler runs within this

    monkeypatch.setattr(StepRecorder, "on_step_end", end)


KEEPING = ["--checkpoints.every", "2"]
STOPS = {
    "train, nothing kept": ("train", [], 3, "nothing was kept"),
    "train, a checkpoint": ("train", KEEPING, 5, "the checkpoint of step 4 is kept"),
    "compare": ("compare", [], 8, "finished runs are kept"),
    "tune": ("tune", [], 8, "finished runs are kept"),
    "tune, sizes": ("sizes", [], 14, "finished runs are kept"),
    "evaluate": ("evaluate", [], 0, "no setting was measured to its end"),
}


@pytest.mark.parametrize("case", STOPS)
def test_a_signal_ends_the_command_and_it_says_what_is_kept(workplace, tmp_path, monkeypatch, capsys, case):
    command, options, step, kept = STOPS[case]
    number = signal.SIGTERM if len(case) % 2 else signal.SIGHUP
    if step:
        signal_at(monkeypatch, step, number)
    else:
        monkeypatch.setattr(saved, "put_on", lambda *_: (os.kill(os.getpid(), number), time.sleep(1)))
    words = [*words_of(command, workplace, tmp_path / "out"), *options]
    assert main(words) == 128 + number
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"qweft: stopped by {signal.Signals(number).name}; {kept}")
    assert not list(tmp_path.rglob(f"{CLAIM}*"))
    assert (tmp_path / "out").exists() == (bool(step) and kept != "nothing was kept")
    assert signal.getsignal(number) == signal.SIG_DFL
    if step and command != "train":
        monkeypatch.undo()
        assert main(words) == 0  # as it message


@needs_fork
def test_a_second_signal_ends_a_clean_up_that_hangs(workplace, tmp_path):
    started = tmp_path / "cleaning"

    def hang(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            started.touch()
            time.sleep(600)

    def work():
        saved.put_on = hang
        return main(words_of("evaluate", workplace, tmp_path / "out"))

    process = Forked(work, tmp_path / "said")
    while not started.exists():
        assert process.ended() is None, process.said
        time.sleep(0.01)
    os.kill(process.number, signal.SIGTERM)
    assert process.ended(60) == -signal.SIGTERM


def test_two_real_trainings_of_one_folder(workplace, tmp_path):
    """The second one is refused while the first one runs, and not once the first one was killed."""
    words = [*words_of("train", workplace, tmp_path / "out"), "--training.max_steps", "100000"]
    first = subprocess.Popen([sys.executable, "-m", "qweft", *words], stdout=subprocess.PIPE, text=True)
    try:
        while "training" not in first.stdout.readline():
            assert first.poll() is None
        assert main([*words, "--resume", "auto"]) == 2
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "out" / CLAIM).exists()  # the file is there, and the lock is not
    assert main(words_of("train", workplace, tmp_path / "out")) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"adapter", "run.json"}
