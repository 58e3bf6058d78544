"""Adapters name a base model that others can load, and qweft finds it again without a network."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from qweft.cli.main import main
from qweft.models.packages import MARK, SMOLLM2, prepared_folder
from tests.tiny_folder import save_rows, save_tiny_model

MADE = {"title": SMOLLM2.title, "quantization": "Q4_1", "packages": SMOLLM2.packages, "sha256": SMOLLM2.sha256}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a training and an export; a tiny model takes the place of the embedded one."""
    folder = tmp_path_factory.mktemp("names")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEFT_CACHE", str(folder / "cache"))
        save_tiny_model(prepared_folder(SMOLLM2))
        (prepared_folder(SMOLLM2) / MARK).write_text(json.dumps(MADE))
        shared = {
            "data": {
                "source": save_rows(folder / "rows.jsonl"),
                "validation_rows": 4,
                "test_rows": 4,
                "max_length": 48,
            },
            "training": {"max_steps": 2, "batch_size": 2, "gradient_accumulation": 1, "learning_rate": 0.03},
        }
        circuit = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"]}
        (folder / "train.yaml").write_text(yaml.safe_dump({**shared, "adapter": circuit}))
        assert main(["train", str(folder / "train.yaml"), "--output", str(folder / "run")]) == 0
        assert main(["export", str(folder / "run" / "adapter"), "--force"]) == 0
        yield folder


@pytest.mark.parametrize("adapter", ["run/adapter", "run/lora"])
def test_adapters_name_the_hub_id_and_load_without_a_hub(place, tmp_path, capsys, adapter):
    config = json.loads((place / adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == SMOLLM2.hub_id
    for file in (place / adapter).iterdir():
        if file.suffix in (".json", ".md"):
            assert str(place) not in file.read_text(), file
    assert SMOLLM2.hub_id in (place / adapter / "README.md").read_text().split("---")[1]
    record = json.loads((place / "run" / "run.json").read_text())
    assert record["model_hub_id"] == SMOLLM2.hub_id and "package" in record["model_origin"]
    alone = shutil.copytree(place / adapter, tmp_path / "alone")  # without run.json: its config says the model
    words = ["evaluate", str(alone), "--data.source", str(place / "rows.jsonl"), "--data.max_length", "48", "--json"]
    words += ["--data.test_rows", "4", "--data.validation_rows", "4", "--evaluation.answers", "0"]
    assert main(words) == 0
    loss = json.loads(capsys.readouterr().out)["adapted"]["loss"]
    assert loss > 0


def test_a_model_that_is_on_no_hub_keeps_its_folder_in_the_config_alone(place, tmp_path):
    model = save_tiny_model(tmp_path / "secret" / "mine")
    words = ["--model.name", model, "--output", str(tmp_path / "alone")]
    assert main(["train", str(place / "train.yaml"), *words]) == 0
    adapter = tmp_path / "alone" / "adapter"
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == model
    card = Path(adapter / "README.md").read_text()
    assert "secret" not in card and "mine" in card
