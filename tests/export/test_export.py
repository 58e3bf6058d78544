"""`qweft export` as a user calls it, on a tiny model; the claim about learning is in tests/equivalence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from qweft import QweftError
from qweft.cli.main import main
from qweft.cli.parser import parse
from qweft.exporting import run
from qweft.exporting.lora import Lora
from qweft.exporting.measure import Measured
from qweft.exporting.plan import load_rows, plan_export
from qweft.exporting.report import ExportReport
from qweft.exporting.run import export
from qweft.training.config import RunConfig
from qweft.training.run import train
from tests.export.conftest import run_config
from tests.tiny_folder import save_rows

KEYS = ["base_loss", "hybrid_loss", "exported_loss"]


def test_the_command_reports_and_writes_a_lora(trained, tmp_path, capsys):
    output = tmp_path / "lora"
    words = ["export", str(trained / "qtha/adapter"), "--to", "lora", "--output", str(output), "--force", "--json"]
    assert main([*words, "--calibration", str(trained / "rows.jsonl")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(isinstance(found[key], float) for key in KEYS)
    assert found["base_loss"] > found["hybrid_loss"]
    kept = json.loads((output / "export.json").read_text())
    assert {key: kept[key] for key in KEYS} == {key: found[key] for key in KEYS}
    files = {"adapter_config.json", "adapter_model.safetensors", "README.md", "export.json"}
    assert {path.name for path in output.iterdir()} == files
    config = json.loads((output / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 2)
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    card = (output / "README.md").read_text()
    assert f"{found['exported_loss']:.4f}" in card and "rows.jsonl" in card
    assert str(trained) not in card + (output / "export.json").read_text()


def test_an_export_that_loses_too_much_is_refused_and_nothing_is_written(trained, tmp_path, capsys, monkeypatch):
    """The fit is spoiled: its half of the LoRA is zero."""
    honest = run.linearise

    def spoiled(*args):
        lora, notes = honest(*args)
        return Lora(lora.rank, {name: 0 * down for name, down in lora.down.items()}, lora.up, lora.whole), notes

    monkeypatch.setattr(run, "linearise", spoiled)
    words = ["export", str(trained / "qtha/adapter"), "--output", str(tmp_path / "lora")]
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "loses 100.0%" in error and "--force" in error
    assert not (tmp_path / "lora").exists()
    assert main([*words, "--force"]) == 0
    assert (tmp_path / "lora/adapter_model.safetensors").is_file()
    assert main([*words, "--largest_lost_share", "1"]) == 0


def test_without_a_run_the_text_brings_its_own_held_out_rows(trained, tmp_path):
    """The adapter's config names the base model."""
    shutil.copytree(trained / "qtha/adapter", tmp_path / "moved")
    save_rows(tmp_path / "few.jsonl", count=30)
    options = {"calibration": str(tmp_path / "few.jsonl"), "output": str(tmp_path / "lora")}
    report = export(tmp_path / "moved", options, force=True)
    assert report.held_out == f"{tmp_path / 'few.jsonl'}, test rows"
    assert report.measured.tokens > 0
    with pytest.raises(QweftError, match=r"no run\.json beside it"):
        export(tmp_path / "moved", {"output": str(tmp_path / "lora")})


def test_with_a_run_the_outcome_is_judged_on_its_own_held_out_rows(trained, tmp_path, monkeypatch):
    """Whatever text is fitted on; the run's own file is itself however its path is written."""
    adapter, output = trained / "qtha/adapter", str(tmp_path / "lora")
    own = export(adapter, {"output": output}, force=True)
    monkeypatch.chdir(trained)
    same = export(adapter, {"output": output, "calibration": "./rows.jsonl"}, force=True)
    assert same.measured == own.measured and same.calibration_tokens == own.calibration_tokens
    save_rows(tmp_path / "other.jsonl", count=9)
    other = export(adapter, {"output": output, "calibration": str(tmp_path / "other.jsonl")}, force=True)
    assert other.held_out == own.held_out
    assert (other.measured.base_loss, other.measured.tokens) == (own.measured.base_loss, own.measured.tokens)
    assert other.measured.exported_loss != own.measured.exported_loss
    for data in ({"test_rows": 20}, {"source": "rows.jsonl", "split_seed": 7}):
        with pytest.raises(QweftError, match=r"was trained on \d+ of the \d+ test rows"):
            export(adapter, {"output": output, "data": data})


@pytest.mark.parametrize("key", ["source", "test_source"])
def test_an_export_is_not_judged_on_rows_that_its_run_trained_on(trained, tmp_path, key):
    """One of several sources is split in another way alone, and a run's source may be named as that of the test."""
    for start, name in enumerate(("one", "two", "three")):
        rows = [{"prompt": f"What is {n}?", "completion": f"{n}."} for n in range(100 * start, 100 * start + 40)]
        (tmp_path / name).with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    config = run_config(trained, "mpo") | {"output": str(tmp_path / "run")}
    one, two, three = (str(tmp_path / f"{name}.jsonl") for name in ("one", "two", "three"))
    text = {"sources": [one, two]} if key == "source" else {"source": one, "test_source": two}
    config["data"] = text | {"validation_rows": 4, "test_rows": 8, "max_length": 64}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    train(parse(RunConfig, [str(tmp_path / "run.yaml")]))
    with pytest.raises(QweftError, match=rf"was trained on \d+ of the \d+ test rows.*--data\.{key} split its run"):
        export(tmp_path / "run/adapter", {"output": str(tmp_path / "lora"), "data": {key: one}})
    export(tmp_path / "run/adapter", {"output": str(tmp_path / "lora"), "data": {key: three}})


def test_an_earlier_export_is_set_aside(trained, tmp_path, capsys):
    """With what a user put beside it; two adapters side by side export to one folder by default."""
    output = tmp_path / "lora"
    export(trained / "mpo/adapter", {"output": str(output)})
    (output / "model.gguf").write_text("converted")
    export(trained / "qtha/adapter", {"output": str(output)}, force=True)
    assert (tmp_path / "lora-1/model.gguf").read_text() == "converted" and not (output / "model.gguf").exists()
    assert f"is now {tmp_path / 'lora-1'}" in " ".join(capsys.readouterr().err.split())


def report_of(measured):
    return ExportReport(
        adapter=Path("a"), output=Path("b"), model="m", calibration=None, calibration_tokens=0, held_out="t",
        measured=measured, rank=4, parameters=10, modules_to_save=[], layers={}, largest_lost_share=0.1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        ((2.0, 1.0, 1.09), None),
        ((2.0, 1.0, 1.12), "loses 12.0% of the adapter's gain"),
        ((2.0, 1.9998, 1.9999), "loses 50.0% of the adapter's gain"),  # rounding is no excuse for half of a small gain
        ((2.0, 2.1, 2.10005), None),
        ((2.0, 2.1, 2.2), "gains nothing, and the export loses 0.1000 more"),
        ((2.0, float("nan"), 2.2), "is no number"),
    ],
)
def test_when_an_export_is_refused(losses, sentence):
    measured = Measured(*losses, tokens=9)
    report = report_of(measured)
    assert report.refusal is None if sentence is None else sentence in report.refusal


def test_no_share_is_told_of_a_gain_within_twice_its_error():
    measured = Measured(2.0, 1.9, 1.95, tokens=9, gain_error=0.06)
    report = report_of(measured)
    assert "gain is within twice its error (0.1000 ± 0.0600), and the export loses 0.0500" in report.refusal
    assert measured.kept_share is None and "of the gain" not in report.card()
    assert replace(measured, gain_error=0.04).kept_share == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--to", "onnx"], "--to"),
        (["--calibration", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--to", "merged", "--rank", "2"], "--rank 2"),
        (["--output", "qtha/adapter"], "the adapter itself"),
        (["--output", "precious"], "no export"),
    ],
)
def test_wrong_input_is_one_sentence(trained, capsys, monkeypatch, words, key):
    monkeypatch.chdir(trained)
    (trained / "precious").mkdir(exist_ok=True)
    (trained / "precious/file").write_text("kept")
    assert main(["export", "qtha/adapter", *words]) == 2
    assert key in capsys.readouterr().err.strip().splitlines()[-1]
    assert (trained / "precious/file").read_text() == "kept" and not (trained / "qtha/lora").exists()


def test_no_row_that_an_export_is_judged_on_is_fitted(trained):
    """Other text may hold the held-out rows, as one of several sources of the run does."""
    plan = plan_export(trained / "qtha/adapter", {"calibration_tokens": 10**6})
    tokenizer = AutoTokenizer.from_pretrained(trained / "model")
    whole = replace(plan.held_out, validation_rows=0, test_rows=0)
    data, calibration = load_rows(replace(plan, calibration=whole), tokenizer)
    held_out = data.held_out("test")
    fitted = {tuple(row["input_ids"]) for row in calibration}
    assert len(held_out) == 8 and not fitted & {tuple(row["input_ids"]) for row in held_out}
    assert len(fitted) == 32
