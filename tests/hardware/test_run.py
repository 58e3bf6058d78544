"""A trained adapter's folder on devices, by call and by command."""

import json

import pytest

from qweft.cli.main import main
from qweft.data.config import DataConfig
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train
from tests.tiny_folder import save_rows, save_tiny_model

HYBRID = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}


def trained(folder, adapter):
    return train(
        RunConfig(
            model=ModelConfig(name=save_tiny_model(folder / "model")),
            data=DataConfig(source=save_rows(folder / "rows.jsonl"), validation_rows=6, test_rows=4, max_length=48),
            adapter=adapter,
            training=TrainingConfig(max_steps=4, batch_size=2, gradient_accumulation=1, learning_rate=3e-2),
            output=str(folder / "run"),
        )
    ).adapter_folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("tiny"), HYBRID)


def evaluate(adapter, *options):
    return main(["evaluate", str(adapter), "--evaluation.max_new_tokens", "4", *options])


def read(folder):
    return json.loads((folder / "robustness.json").read_text())


def test_measured_exactly_nothing_changes(adapter, tmp_path, capsys):
    assert evaluate(adapter, "--device", "exact", "--output", str(tmp_path)) == 0
    (point,) = read(tmp_path)["points"]
    assert abs(point["rise"]) < 1e-6
    assert point["agreement"] == 1 and point["same_answers"] == 3
    assert main(["evaluate", str(adapter), "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{\n") :])["adapted"]["loss"] == pytest.approx(read(tmp_path)["exact"], abs=1e-6)


def test_shots_and_a_cap(adapter, tmp_path, capsys):
    options = ["--device", "shots", "--shots", "10,1000", "--max-circuits", "300", "--output", str(tmp_path)]
    assert evaluate(adapter, *options) == 0
    found = read(tmp_path)
    assert [point["setting"] for point in found["points"]] == [
        {"shots": 10, "noise_scale": 1.0}, {"shots": 1000, "noise_scale": 1.0},
    ]  # fmt: skip
    few, many = found["points"]
    assert 0 < few["circuits"] <= 300
    assert few["rise_error"] > 3 * many["rise_error"] > 0
    assert len(found["layers"]) == 4 and found["environment"]["command"].startswith("qweft evaluate")
    assert "by_shots.png" in (tmp_path / "robustness.md").read_text()
    capsys.readouterr()
    assert evaluate(adapter, *options, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert [point["loss"] for point in again["points"]] == [point["loss"] for point in found["points"]]


def test_only_some_layers(adapter, tmp_path):
    assert evaluate(adapter, "--device", "shots", "--shots", "10", "--layers", "q_proj", "--output", str(tmp_path)) == 0
    assert read(tmp_path)["layers"] == [f"model.layers.{i}.self_attn.q_proj" for i in (0, 1)]


def test_by_default_it_lands_beside_the_adapter(adapter):
    assert evaluate(adapter, "--device", "exact") == 0
    assert (adapter.parent / "robustness-exact" / "robustness.md").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "exakt"], "there is no device exakt; did you mean exact?"),
        (["--device", "exact", "--shots", "10"], "device exact has no shots"),
        (["--device", "shots"], "device shots needs a number of shots"),
        (["--device", "shots", "--shots", "10,0"], "shots must be at least 1, got 0"),
        (["--device", "shots", "--shots", "10", "--noise-scale", "0.5"], "device shots has no noise"),
        (["--device", "shots", "--shots", "10", "--max-circuits", "0"], "max_circuits must be above 0, got 0"),
        (["--device", "shots", "--shots", "10", "--max-circuits", "3"], "fewer than the 4 circuits"),
        (["--device", "shots", "--shots", "10", "--layers", "k_proj"], "k_proj meets no layer with a circuit"),
        (["--device", "shots", "--shots", "many"], "--shots: expected list of int or null"),
        (["--shots", "10"], "device exact has no shots, got 10; use device shots"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(adapter, options, words, capsys):
    assert evaluate(adapter, *options) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_an_adapter_without_circuit(tmp_path, capsys):
    adapter = trained(tmp_path, HYBRID | {"preset": "mpo"})
    assert evaluate(adapter, "--device", "exact") == 2
    assert "has no circuit that a device could run" in capsys.readouterr().err
