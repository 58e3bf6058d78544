"""A trained adapter's folder on devices, by call and by command."""

import json
import shutil

import pytest

from qweft.cli.main import main
from qweft.core.files import cache_folder
from qweft.data.config import DataConfig
from qweft.devices import DeviceError
from qweft.devices.jobs import Executor
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train
from tests.devices.jobs.fake_provider import register
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
    return main(["evaluate", str(adapter), *options])


def read(folder):
    return json.loads((folder / "robustness.json").read_text())


def test_measured_exactly_nothing_changes(adapter, tmp_path, capsys):
    assert evaluate(adapter, "--device", "exact", "--output", str(tmp_path)) == 0
    (point,) = read(tmp_path)["points"]
    assert abs(point["rise"]) < 1e-6
    assert point["agreement"] == 1
    assert main(["evaluate", str(adapter), "--evaluation.answers", "0", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{\n") :])["adapted"]["loss"] == pytest.approx(
        read(tmp_path)["adapted"]["loss"], abs=1e-6
    )


def test_shots_and_a_cap(adapter, tmp_path, capsys):
    options = ["--device", "shots", "--shots", "10,1000", "--max-circuits", "900", "--output", str(tmp_path)]
    assert evaluate(adapter, *options) == 0
    found = read(tmp_path)
    assert [point["setting"] for point in found["points"]] == [
        {"shots": 10, "noise_scale": 1.0}, {"shots": 1000, "noise_scale": 1.0},
    ]  # fmt: skip
    few, many = found["points"]
    assert 0 < few["circuits"] <= 900
    assert few["rise_error"] > 3 * many["rise_error"] > 0
    assert len(found["layers"]) == 4 and found["environment"]["command"].startswith("qweft evaluate")
    capsys.readouterr()
    assert evaluate(adapter, *options, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert [point["loss"] for point in again["points"]] == [point["loss"] for point in found["points"]]


def test_noise_and_what_is_done_about_it(adapter, tmp_path):
    common = ["--device", "noisy", "--max-circuits", "1200"]
    assert (
        evaluate(adapter, *common, "--noise-scale", "0,0.1,1", "--shots", "200", "--output", str(tmp_path / "a")) == 0
    )
    found = read(tmp_path / "a")
    rise = {(p["setting"]["noise_scale"], p["setting"]["shots"]): abs(p["rise"]) for p in found["points"]}
    assert set(rise) == {(scale, shots) for scale in (0, 0.1, 1) for shots in (200, None)}
    assert rise[0, None] < 1e-6 < rise[0.1, None] < rise[1, None]
    assert all(p["circuits"] <= 1200 for p in found["points"])
    assert "one_qubit" in found["identity"]
    for name, options in {
        "readout": ["--readout", "inverse"],
        "zne": ["--readout", "inverse", "--zne", "1,3,5"],
    }.items():
        assert evaluate(adapter, *common, "--noise-scale", "0.1", *options, "--output", str(tmp_path / name)) == 0
        (point,) = read(tmp_path / name)["points"]
        assert abs(point["rise"]) < rise[0.1, None] and point["circuits"] <= 1200
        assert "readout errors undone" in read(tmp_path / name)["mitigation"]


def own_ledger(cache, monkeypatch):
    """Use another cache folder, with the key by which a run's record is known as one's own."""
    cache.mkdir()
    shutil.copy(cache_folder() / "key", cache / "key")
    monkeypatch.setenv("QWEFT_CACHE", str(cache))


def test_a_device_that_takes_jobs(adapter, tmp_path, capsys, monkeypatch):
    own_ledger(tmp_path / "cache", monkeypatch)
    device = register(monkeypatch, tmp_path / "cloud.sqlite", most=200)
    options = ["--device", device, "--shots", "50", "--layers", "v_proj"]
    assert evaluate(adapter, *options, "--dry-run") == 0
    dry = " ".join(capsys.readouterr().out.split())
    assert dry.endswith("shots 50 of each circuit jobs 2")  # 2 layers
    assert evaluate(adapter, *options, "--output", str(tmp_path / "a")) == 2
    assert "there is no terminal to ask at; pass --yes" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "devices").exists()
    assert evaluate(adapter, *options, "--yes", "--output", str(tmp_path / "a")) == 0
    assert main(["jobs", "--json"]) == 0
    out = capsys.readouterr().out
    jobs = json.loads(out[out.rindex("[\n") :])
    assert {job["state"] for job in jobs} == {"done"} and len(jobs) <= 2
    assert evaluate(adapter, *options, "--yes", "--output", str(tmp_path / "b")) == 0
    assert "sent job" not in capsys.readouterr().out  # everything has results
    first, again = (read(tmp_path / name)["points"][0] for name in "ab")
    assert first["loss"] == again["loss"]
    plain = ["--device", "shots", "--shots", "50", "--layers", "v_proj"]
    assert evaluate(adapter, *plain, "--output", str(tmp_path / "c")) == 0
    assert read(tmp_path / "c")["points"][0]["loss"] == first["loss"]


def test_a_run_that_is_stopped_leaves_what_it_has(adapter, tmp_path, capsys, monkeypatch):
    run = Executor.run

    def refuses_many_shots(self, circuits, shots):
        if shots == 1000:
            raise DeviceError("the chip is switched off")
        return run(self, circuits, shots)

    monkeypatch.setattr(Executor, "run", refuses_many_shots)
    options = ["--device", "shots", "--shots", "10,100,1000", "--max-circuits", "300", "--output", str(tmp_path)]
    assert evaluate(adapter, *options) == 2
    captured = capsys.readouterr()
    assert "the chip is switched off" in captured.err
    assert [point["setting"]["shots"] for point in read(tmp_path)["points"]] == [10, 100]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--device", "exakt"], "exakt"),
        (["--device", "shots"], "number of shots"),
        (["--device", "shots", "--shots", "10,0"], "--shots"),
        (["--device", "shots", "--shots", "10", "--noise-scale", "0.5"], "no noise"),
        (["--device", "pennylane:default.qubit", "--noise-scale", "0,1"], "no noise"),
        (["--device", "shots", "--shots", "10", "--layers", "k_proj"], "k_proj"),
        (["--device", "noisy", "--noise", "papper"], "papper"),
        (["--device", "noisy", "--extrapolation", "linear"], "--zne"),
        (["--yes"], "--device"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(adapter, options, word, capsys):
    assert evaluate(adapter, *options) == 2
    assert word in capsys.readouterr().err


def test_a_link_in_place_of_the_default_output_is_not_followed(adapter, tmp_path, capsys):
    link = adapter.parent / "robustness-shots"
    link.symlink_to(tmp_path)
    assert evaluate(adapter, "--device", "shots", "--shots", "10") == 2
    link.unlink()
    assert "is a link to" in " ".join(capsys.readouterr().err.split()) and not list(tmp_path.iterdir())
