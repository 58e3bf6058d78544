import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qweft.cli.main import main
from qweft.cli.parser import parse
from qweft.comparison.config import ComparisonConfig
from qweft.core.errors import saying_when_stopped


def test_plan_json_prints_only_json(fake, capsys):
    def plan(config, timed=False):
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
