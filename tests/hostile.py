"""Folders and files that create a marker if anything in them is run."""

import json
import os
import pickle
from pathlib import Path

from tests.tiny_folder import save_tiny_model

CODE = """
import os
from transformers import LlamaConfig, LlamaForCausalLM

os.makedirs({marker!r}, exist_ok=True)


class MarkedConfig(LlamaConfig):
    model_type = "marked"


class MarkedForCausalLM(LlamaForCausalLM):
    config_class = MarkedConfig
"""


class _Marks:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def save_marking_pickle(path, marker):
    """A pickle that creates the marker, a folder, when it is read without care."""
    path.write_bytes(pickle.dumps(_Marks(marker)))


def save_marking_model(folder, marker):
    """The folder of a tiny model of an architecture that only the folder's own code knows."""
    save_tiny_model(folder)
    path = Path(folder)
    (path / "code.py").write_text(CODE.format(marker=str(marker)))
    config = json.loads((path / "config.json").read_text())
    auto_map = {"AutoConfig": "code.MarkedConfig", "AutoModelForCausalLM": "code.MarkedForCausalLM"}
    config |= {"model_type": "marked", "architectures": ["MarkedForCausalLM"], "auto_map": auto_map}
    (path / "config.json").write_text(json.dumps(config))
    return str(folder)
