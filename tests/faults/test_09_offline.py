"""Fault 9: saving contacts a hub while offline. Sockets blocked, without any word to the hub client, saving works."""

import os
import subprocess
import sys

PROGRAM = """
import socket, sys
def blocked(*args, **kwargs):
    raise OSError("the network is unreachable")
socket.getaddrinfo = blocked
socket.socket.connect = socket.socket.connect_ex = blocked
import torch
from pathlib import Path
from peft import PeftModel, get_peft_model
from qweft.training.run import save_adapter
from tests.adapter.test_method import logits, small, trained
from tests.tiny_models import tiny_llama

def base():
    model = tiny_llama()
    model.config._name_or_path = model.name_or_path = "someone/model-on-a-hub"
    return model

for way in ("peft", "qweft", "transformers"):
    folder = Path(sys.argv[1]) / way
    if way == "transformers":
        model, again = base(), base()
        model.add_adapter(small("qtha", init_weights=False))
        model.save_pretrained(folder)
        again.load_adapter(str(folder))
    else:
        model = trained(get_peft_model(base(), small("qtha")))
        model.save_pretrained(folder) if way == "peft" else save_adapter(model, folder)
        again = PeftModel.from_pretrained(base(), folder).eval()
    assert torch.equal(logits(again), logits(model)), way
    assert not torch.equal(logits(again), logits(base())), way
"""


def test_saving_and_loading_without_a_network(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    found = subprocess.run(command, env=environment, timeout=600, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
