import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qweft.cli.main import main
from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.errors import saying_when_stopped
from qweft.training.config import RunConfig


def test_train_calls_the_library_with_the_config(fake, run_file, capsys):
    seen = []
    fake(
        "qweft.training.run",
        train=lambda config: seen.append(config) or SimpleNamespace(adapter_folder=Path("runs/a/adapter")),
    )
    fake("qweft.comparison.winner", commands_for=lambda folder: [f"talk with it: qweft chat {folder}"])
    assert main(["train", run_file, "--adapter.r", "8"]) == 0
    assert seen == [parse(RunConfig, [run_file, "--adapter.r", "8"])]
    assert capsys.readouterr().out == "adapter: runs/a/adapter\ntalk with it: qweft chat runs/a/adapter\n"


def test_plan_json_prints_only_json(fake, capsys):
    def plan(config, timed=False, chips=False):
        print("progress")
        return SimpleNamespace(to_json=lambda: {"parameters": config.adapter["r"], "name": "é"}, describe=None)

    fake("qweft.training.plan", plan=plan)
    assert main(["plan", "--json", "--adapter.r", "8"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"parameters": 8, "name": "é"}
    assert err == "progress\n"


def test_compare_passes_effective_config_and_command(fake, comparison_file, write, capsys):
    seen = {}

    def compare(config, config_yaml, command, begin):
        seen.update(config=config, config_yaml=config_yaml, command=command)
        return Path("runs/demo/report.html")

    fake("qweft.comparison.runner", compare=compare, describe=None)
    assert main(["compare", comparison_file, "--output", "runs/my demo"]) == 0
    assert seen["config"].output == "runs/my demo"
    assert seen["command"] == "qweft compare comparison.yaml --output 'runs/my demo'"
    assert parse(ComparisonConfig, [write(seen["config_yaml"])]) == seen["config"]
    assert capsys.readouterr().out == ""  # the comparison itself says what it found


def test_tune(fake, comparison_file, capsys):
    seen = []
    fake(
        "qweft.comparison.tune",
        tune=lambda config, command, begin: seen.append((config.rates, command)) or Path("r/rates.json"),
    )
    assert main(["tune", comparison_file, "--rates", "[1e-3]"]) == 0
    assert seen == [([1e-3], "qweft tune comparison.yaml --rates '[1e-3]'")]
    assert capsys.readouterr().out == "rates: r/rates.json\n"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_evaluate_passes_only_what_was_given(fake, tmp_path, capsys, flags):
    seen = []

    def evaluate(adapter, overrides):
        seen.append((adapter, overrides))
        return SimpleNamespace(describe=lambda: "loss 1.5", to_json=lambda: {"loss": 1.5})

    fake("qweft.evaluation.checks", preview_evaluation=lambda *_: None)
    fake("qweft.evaluation.run", evaluate=evaluate)
    options = ["--evaluation.answers", "5", "--model.name", "a/b", "--data.train_rows", "null"]
    assert main(["evaluate", str(tmp_path), *options, *flags]) == 0
    expected = {"evaluation": {"answers": 5}, "model": {"name": "a/b"}, "data": {"train_rows": None}}
    assert seen == [(tmp_path, expected)]
    out = capsys.readouterr().out
    assert json.loads(out) == {"loss": 1.5} if flags else out == "loss 1.5\n"


def test_an_interrupt_says_what_is_kept(fake, capsys):
    def train(config):
        with saying_when_stopped(lambda: "the checkpoint of step 4 is kept"):
            raise KeyboardInterrupt

    fake("qweft.training.run", train=train)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "qweft: interrupted; the checkpoint of step 4 is kept\n"


def test_a_bug_keeps_its_traceback(fake):
    def train(config):
        raise ValueError("a bug")

    fake("qweft.training.run", train=train)
    with pytest.raises(ValueError, match="a bug"):
        main(["train"])


def test_a_reader_that_goes_away_is_no_traceback():
    command = f"{sys.executable} -m qweft compare --help | head -1"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=600, check=True)
    assert ran.stdout.startswith("usage: qweft compare")
    assert ran.stderr == ""
