"""The PEFT method with the core's packages alone, as `pip install .` brings them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"pyyaml": "yaml"}
WORKBENCH = [Requirement(text).name for text in PROJECT["optional-dependencies"]["workbench"]]
# Other packages may use them: PEFT itself has some installed.
BLOCK = f"""
import builtins
missing = {[MODULES.get(name, name.replace("-", "_")) for name in WORKBENCH if name not in ("huggingface-hub",)]!r}
real = builtins.__import__

def without(name, globals=None, locals=None, fromlist=(), level=0):
    if (globals or {{}}).get("__name__", "").startswith("qweft") and not level and name.partition(".")[0] in missing:
        raise ModuleNotFoundError(name, name=name)
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = without
"""
TRAINING = """
import tempfile, torch
from qweft import QweftError, QwthnConfig
from peft import PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

def tiny():
    torch.manual_seed(0)
    sizes = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    return LlamaForCausalLM(LlamaConfig(**sizes))

config = QwthnConfig.preset("qtha", r=3, width=8, bond_dimension=2, target_modules=["q_proj"])
model, ids = get_peft_model(tiny(), config), torch.arange(3, 19)[None]
optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=5e-2)
losses = []
for _ in range(5):
    losses.append(model(input_ids=ids, labels=ids).loss)
    losses[-1].backward()
    optimizer.step()
    optimizer.zero_grad()
assert losses[-1] < losses[0]
with tempfile.TemporaryDirectory() as folder:
    model.eval().save_pretrained(folder)
    again = PeftModel.from_pretrained(tiny(), folder).eval()
assert torch.equal(model(input_ids=ids).logits, again(input_ids=ids).logits)
try:
    from qweft import train
except QweftError as error:
    assert "pip install '.[workbench]'" in str(error)
else:
    raise AssertionError
"""


def run(code):
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=600)


def test_a_training_with_peft_needs_no_workbench():
    ran = run(TRAINING)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("command", ["train", "compare my.csv", "presets", "doctor"])
def test_a_command_says_what_it_lacks(command):
    ran = run(f"import sys\nfrom qweft.cli.main import main\nsys.exit(main({command.split()!r}))")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    assert f"qweft {command.split()[0]} needs the package " in ran.stderr and "'.[workbench]'" in ran.stderr
    assert run("from qweft.cli.main import main\nmain(['--help'])").returncode == 0
