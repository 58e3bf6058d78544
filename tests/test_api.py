"""The functions of `qweft` that stand for its commands."""

import subprocess
import sys

import pytest

from qweft import QweftError, compare, evaluate, export, train
from tests.tiny_folder import save_rows, save_tiny_model

SMALL = {
    "training": {"max_steps": 2, "batch_size": 2, "gradient_accumulation": 1},
    "evaluation": {"batch_size": 4, "answers": 0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model, rows, and the run of an adapter."""
    folder = tmp_path_factory.mktemp("api")
    save_tiny_model(folder / "model")
    save_rows(folder / "rows.jsonl")
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return {"source": folder / "rows.jsonl", "train_rows": 8, "validation_rows": 4, "test_rows": 4, "max_length": 64}


@pytest.fixture(scope="module")
def trained(folder, data):
    model = {"name": folder / "model", "dtype": "float32", "device": "cpu"}
    return train(model=model, data=data, adapter={"preset": "mpo", "r": 2}, output=folder / "run", **SMALL)


def test_an_adapter_is_trained_judged_and_exported(trained, folder):
    assert trained.output == folder / "run" and (trained.adapter / "adapter_config.json").is_file()
    assert trained.steps == 2 and trained.split == "test" and trained.trainable_parameters > 0
    judged = evaluate(trained.adapter, evaluation={"answers": 1, "max_new_tokens": 2})
    assert judged.rows == 4 and len(judged.answers) == 1
    assert judged.loss == pytest.approx(trained.loss, abs=1e-5)
    assert judged.scores["loss"] == pytest.approx(judged.loss - judged.base_loss)
    exported = export(trained.adapter, to="lora", force=True)
    assert exported.loss == pytest.approx(trained.loss, abs=1e-4) and exported.rank == 2
    assert (exported.output / "adapter_model.safetensors").is_file()


def test_methods_are_compared(folder, data):
    lora, mpo = {"adapter": {"peft_type": "LORA", "r": 1}}, {"adapter": {"preset": "mpo", "r": 2}}
    config = {"methods": {"lora": lora, "mpo": mpo}, "seeds": [0, 1], "recommend": True}
    compared = compare(config, model=folder / "model", data=data, output=folder / "compared", seeds=[0], **SMALL)
    assert {"lora", "mpo"} <= compared.losses.keys() and compared.method in ("lora", "mpo")
    assert compared.method in compared.conclusion and compared.report.is_file()
    assert (compared.adapter / "adapter_model.safetensors").is_file()


def test_a_file_is_read_and_keywords_win_over_it(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("data: {sources: [a.jsonl, b.jsonl]}\ntraining: {epochs: 2.0}\n")
    with pytest.raises(QweftError, match="batch_size"):
        train(file, training={"batch_size": 0})
    with pytest.raises(QweftError, match=r"nowhere\.csv"):
        train(file, data="nowhere.csv", training={"batch_size": 1})


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda: train(training={"lerning_rate": 1.0}), "learning_rate"),
        (lambda: train(training={"learning_rate": "fast"}), r"train\(\): training.learning_rate"),
        (lambda: compare("a.csv", preset="slow"), "preset"),
        (lambda: compare({"methds": {}}), "methods"),
        (lambda: compare("nowhere.csv", budget="20min", evaluation={"answers": 0}), r"nowhere\.csv"),
        (lambda: evaluate("nowhere"), "nowhere"),
        (lambda: evaluate("nowhere", training={"seed": 1}), "training"),
        (lambda: export("nowhere", to="onnx"), "onnx"),
    ],
)
def test_wrong_input_is_one_sentence(call, key):
    with pytest.raises(QweftError, match=key) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_names_import_no_pytorch():
    code = "import sys, qweft; qweft.train, qweft.compare, qweft.export; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
