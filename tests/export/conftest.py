"""A tiny base model, and adapters that were trained on it."""

import pytest
import yaml

from qweft.cli.parser import parse
from qweft.training.config import RunConfig
from qweft.training.run import train
from tests.tiny_folder import save_rows, save_tiny_model

ADAPTERS = {
    "qtha": {},
    "mpo": {},
    "lora": {"adapter": {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "k_proj"]}},
    "head": {"adapter": {"preset": "mpo", "r": 2, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}},
}


def run_config(folder, preset):
    return {
        "model": {"name": str(folder / "model"), "device": "cpu"},
        "data": {"source": str(folder / "rows.jsonl"), "validation_rows": 4, "test_rows": 8, "max_length": 64},
        "adapter": {"preset": preset, "r": 2, "width": 8, "bond_dimension": 2, "circuit_layers": 1},
        "training": {"max_steps": 12, "batch_size": 4, "learning_rate": 0.03},
        "output": str(folder / preset),
    }


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with the base model, rows, and a run of each adapter."""
    folder = tmp_path_factory.mktemp("export")
    save_tiny_model(folder / "model")
    save_rows(folder / "rows.jsonl")
    for name, changes in ADAPTERS.items():
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**run_config(folder, name), **changes}))
        train(parse(RunConfig, [str(file)]))
    return folder
