"""Every example runs from top to bottom and prints what it is there to show."""

import json
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, LlamaForCausalLM

from qweft.cli.main import main
from qweft.models.packages import SMOLLM2, prepared_folder
from qweft.models.prepare import prepare

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
NOTEBOOK = json.loads((EXAMPLES / "tutorial.ipynb").read_text(encoding="utf-8"))
NUMBER = r"([-+]?\d+\.\d+)"


@pytest.fixture
def printed(tmp_path, monkeypatch, capfd):
    """Run an example in an empty folder, and return what it prints, also from processes that it starts."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return " ".join(capfd.readouterr().out.split())

    return run


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory):
    """A cache folder in which the embedded model has four narrow layers of random weights, and its own tokenizer."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        whole = prepare(SMOLLM2)
        patch.setenv("QWEFT_CACHE", str(cache))
        small = prepared_folder(SMOLLM2)
    shutil.copytree(whole, small, ignore=shutil.ignore_patterns("model.safetensors"))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
    heads = {"num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2}
    torch.manual_seed(0)
    LlamaForCausalLM(AutoConfig.from_pretrained(small, **sizes, **heads)).save_pretrained(small)
    return cache


@pytest.fixture
def small_model(small_cache, monkeypatch):
    """The small model in the place of the embedded one, whose learning tests/equivalence checks."""
    monkeypatch.setenv("QWEFT_CACHE", str(small_cache))


def numbers(pattern, text):
    """The numbers in the only place that matches the pattern."""
    (found,) = re.findall(pattern, text)
    return [float(number) for number in found]


def test_every_file_has_its_line_in_the_readme_and_every_script_a_test():
    listed = re.findall(r"^\| \[([\w.]+)\]\(\1\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted([*SCRIPTS, "tutorial.ipynb"])
    tested = re.findall(r'printed\("([\w.]+)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(tested) == SCRIPTS


def shown(cells):
    """The text of all outputs, with single spaces."""
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    texts = ("".join(output.get("text") or output["data"]["text/plain"]) for output in outputs)
    return " ".join(re.sub(r"\x1b\[[\d;]*m", "", " ".join(texts)).split())


TUTORIAL = ("⟦", "lowest held-out loss after 8 steps", "32 crz", "noise x 1", "as a LoRA of rank 4")
"""What each step of the tutorial prints, whatever the model."""


def test_the_notebook_stores_its_outputs_and_no_paths_of_a_machine():
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(part in shown(code) for part in (*TUTORIAL, "58,800", "'adapted': "))
    assert not re.search(r"/(home|Users|root|tmp|work)/", json.dumps(NOTEBOOK))


def test_noisy_circuit(printed):
    out = printed("noisy_circuit.py")
    errors = dict(
        re.findall(r"(exact|(?<!, )1,000 shots|noise x [\d.]+, no shots) (?:[-+]\d\.\d+ ){4}mean error (\d\.\d+)", out)
    )
    exact, shots, little, paper = (float(error) for error in errors.values())
    assert exact == 0 < shots < little < paper


@pytest.mark.slow
def test_digits(printed):
    pytest.importorskip(
        "sklearn"
    )  # no dependency of the tests: with it PEFT's ADAMSS cannot be counted without weights
    (right,) = re.findall(r"^([\d.]+)% of 450 test digits are right", printed("digits.py"))
    assert float(right) > 85


def test_from_pennylane(printed):
    out = printed("from_pennylane.py")
    (worst,) = re.findall(r"largest difference ([\d.]+e-\d+); PennyLane takes \d+ times as long", out)
    assert float(worst) < 1e-4


def test_peft_in_twenty_lines(printed):
    out = printed("peft_in_twenty_lines.py")
    assert "trainable params: 58,800 " in out
    losses = [float(loss) for loss in re.findall(rf"step \d: loss {NUMBER}", out)]
    assert len(losses) == 8 and losses[-1] < losses[0] / 2
    assert float(re.search(r"the logits differ by (\S+)", out)[1]) < 1e-4


@pytest.mark.slow
def test_trl_sft(printed):
    before, after = numbers(rf"training loss {NUMBER} -> {NUMBER}", printed("trl_sft.py"))
    assert after < before
    assert Path("runs/trl/adapter/adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_compare_two(small_model, printed):
    out = printed("compare_two.py")
    assert Path("runs/two/report.html").is_file()
    assert re.search(r"(lora|qtha) \(.+\) has the lowest held-out loss after 8 steps: \d+\.\d+", out), out
    assert re.search(r"base \d+\.\d+ lora \d+\.\d+ qtha \d+\.\d+$", out), out


@pytest.mark.slow
def test_export_lora(small_model, printed):
    out = printed("export_lora.py")
    base, adapted, exported = numbers(rf"loss {NUMBER}, with the adapter {NUMBER}, as a LoRA {NUMBER}", out)
    assert adapted < base and exported < base
    assert "loaded without qweft: LORA of rank 4" in out


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(small_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for source in ("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"):
        if source.startswith("!qweft "):
            assert main(shlex.split(source.replace("\\\n", ""))[1:]) == 0, source
        else:
            exec(source, names)
    out = " ".join(capsys.readouterr().out.split())
    assert [part for part in TUTORIAL if part not in out] == []
    assert names["judged"].answers[0]["generated"].keys() == {"base", "adapted"}
    assert Path("runs/tutorial/lora/adapter_model.safetensors").is_file()
