"""An adapter's folder, inspected: a trained hybrid and a LoRA, and what is said of bad input."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from qweft import QweftError
from qweft.cli.main import main
from qweft.data.config import DataConfig
from qweft.inspect.run import inspect
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train
from tests.tiny_folder import save_rows, save_tiny_model

HYBRID = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}
LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of a trained hybrid and of a trained LoRA."""
    folder = tmp_path_factory.mktemp("tiny")
    model, rows = save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")
    return {
        name: train(
            RunConfig(
                model=ModelConfig(name=model),
                data=DataConfig(source=rows, validation_rows=6, test_rows=4, max_length=48),
                adapter=adapter,
                training=TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1, learning_rate=1e-2),
                output=str(folder / name),
            )
        ).adapter_folder
        for name, adapter in (("hybrid", HYBRID), ("lora", LORA))
    }


def test_a_hybrid_and_a_lora(trained, tmp_path):
    file = tmp_path / "new" / "found.json"
    found = inspect(trained["hybrid"], {"output": str(file), "rows": 5})
    assert (found.rows, found.adapter) == (5, str(trained["hybrid"]))
    assert all(layer.numbers["relative_size"] > 0 and layer.gradient_norms for layer in found.layers)
    assert json.loads(file.read_text()) == {"format": 1, **found.to_json()}
    assert [path.name for path in file.parent.iterdir()] == ["found.json"]
    assert inspect(trained["hybrid"], {"output": str(file), "rows": 5}) == found  # its own file may be replaced
    lora = inspect(trained["lora"], {"split": "test", "rows": 99})
    assert lora.rows == 4
    assert all(layer.numbers["different_maps"] == pytest.approx(1) for layer in lora.layers)


@pytest.mark.parametrize("kind", ["hybrid", "lora"])
def test_numbers_that_overflow_are_told(trained, tmp_path, kind):
    folder = tmp_path / "adapter"
    shutil.copytree(trained[kind], folder)
    shutil.copy(trained[kind].parent / "run.json", tmp_path)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({key: tensor.fill_(1e38) for key, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(QweftError, match=r"of layer .* are beyond what a number holds"):
        inspect(folder, {"dequantise": kind == "hybrid"})


def test_circuits_are_replaced_where_that_is_asked(trained, capsys):
    capsys.readouterr()
    assert main(["inspect", str(trained["hybrid"]), "--dequantise", "true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "4 circuits replaced: fitted on 3 rows, judged on 3" in out
    assert "gain over the base model:" in out
    found = inspect(trained["hybrid"], {"dequantise": True, "split": "test"}).to_json()["dequantised"]
    assert (found["rows_fitted"], found["rows_judged"]) == (2, 2)
    assert {"constant", "affine", "quadratic"} <= found["fits"].keys()
    assert inspect(trained["hybrid"]).to_json()["dequantised"] is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rows": 0}, "rows: should be"),
        ({"data": {"validation_rows": 0}}, "validation_rows"),
        ({"output": "."}, "is a folder"),
    ],
)
def test_bad_options_are_said_before_a_model_is_loaded(trained, monkeypatch, options, expected):
    monkeypatch.setattr("qweft.evaluation.saved.load_model", None)
    with pytest.raises(QweftError, match=expected):
        inspect(trained["hybrid"], options)


@pytest.mark.parametrize("name", ["adapter_config.json", "README.md"])
def test_an_inspection_replaces_nothing_else(trained, name, monkeypatch):
    monkeypatch.setattr("qweft.evaluation.saved.load_model", None)
    file = trained["hybrid"] / name
    before = file.read_bytes()
    with pytest.raises(QweftError, match="give another --output"):
        inspect(trained["hybrid"], {"output": str(file)})
    assert file.read_bytes() == before
