"""Fault 8: a kill during a save leaves a half checkpoint that is then picked; a full disk; rotation.

What we write goes beside its place and is renamed; what transformers' Trainer writes is rotated after it is complete.
"""

import signal
import subprocess
import sys

import pytest
import torch
from peft import PeftModel, get_peft_model

from qweft.training.run import save_adapter
from tests.adapter.test_method import logits, small, trained
from tests.tiny_models import tiny_llama

FILE = "adapter_model.safetensors"
OTHER = """
import os, resource, signal, sys
from pathlib import Path
from qweft.core.files import folder_beside

target, content, way = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3]
if way == "full disk":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
with folder_beside(target) as beside:
    (beside / "adapter_model.safetensors").write_bytes(content if way == "full disk" else content[:100])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def save_in_another_process(target, content, way):
    command = [sys.executable, "-c", OTHER, str(target), str(content), way]
    return subprocess.run(command, timeout=600, check=False, capture_output=True, text=True)


def loaded(folder):
    return logits(PeftModel.from_pretrained(tiny_llama(), folder).eval())


@pytest.mark.parametrize("way", ["kill", "full disk"])
def test_the_earlier_adapter_is_still_there(tmp_path, way):
    target = tmp_path / "adapter"
    model = trained(get_peft_model(tiny_llama(), small("qtha")))
    save_adapter(model, target)
    found = save_in_another_process(target, target / FILE, way)
    if way == "kill":
        assert found.returncode == -signal.SIGKILL
    else:
        assert "File too large" in found.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert torch.equal(loaded(target), logits(model))
    # what was half written has a hidden name, and the next save goes through
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["adapter"]
    save_adapter(trained(model), target)
    assert torch.equal(loaded(target), logits(model))
