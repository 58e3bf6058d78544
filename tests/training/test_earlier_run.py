"""What stood in the output folder before: it is renamed as the training begins, and not before."""

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tiny_folder import save_rows, save_tiny_model
from tests.training.test_resume import config as of_resume

from qweft import QweftError, claims, records
from qweft.cli.main import main
from qweft.cli.parser import dump_yaml
from qweft.models.config import ModelConfig
from qweft.text import Lenient
from qweft.training import loop
from qweft.training.checks import check_start
from qweft.training.config import TrainingConfig, ValidationConfig
from qweft.training.loop import DivergedError, arguments
from qweft.training.run import train


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")


def config(files, output, every=None, **changes):
    training = {"max_steps": 2, "batch_size": 2, "gradient_accumulation": 1} | changes.pop("training", {})
    return of_resume(files, output, every=every, training=training, **changes)


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_the_same_command_again_keeps_what_was_put_beside_the_adapter(files, tmp_path, capsys):
    output = tmp_path / "mine"
    train(config(files, output))
    (output / "adapter/notes.txt").write_text("mine")
    (output / "best").mkdir()
    train(config(files, output))
    assert f"the earlier run in {output} is now {output}-1" in said(capsys)
    assert (tmp_path / "mine-1/adapter/notes.txt").read_text() == "mine" and (tmp_path / "mine-1/best").is_dir()
    assert sorted(path.name for path in output.iterdir()) == ["adapter", "run.json"]


def test_a_refused_training_renames_nothing(files, tmp_path, monkeypatch):
    output = tmp_path / "mine"
    train(config(files, output))

    def refuse(*_):
        raise QweftError("a model of this type does not keep packed rows apart")

    monkeypatch.setattr("qweft.training.loop.check_apart", refuse)
    with pytest.raises(QweftError, match="keep packed rows apart"):
        train(config(files, output, training={"packing": True}))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and (output / "adapter").is_dir()


def test_a_rate_of_a_part_that_is_not_there_renames_nothing(files, tmp_path):
    output = tmp_path / "mine"
    train(config(files, output, adapter="lora"))
    with pytest.raises(QweftError, match=r"learning_rates\.circuit: the adapter trains no such part; it trains other"):
        train(config(files, output, adapter="lora", training={"learning_rates": {"circuit": 1e-2}}))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and (output / "adapter").is_dir()


def test_checkpoints_are_written_where_the_new_run_is(files, tmp_path, monkeypatch):
    """The trainer makes its folder before the earlier run is renamed."""
    output = tmp_path / "mine"
    train(config(files, output))
    monkeypatch.setattr("qweft.training.run.remove_what_is_done", lambda *_: None)
    train(config(files, output, every=1, training={"learning_rate": 2e-3}))
    assert (output / "checkpoints").is_dir() and not (tmp_path / "mine-1/checkpoints").exists()


def test_an_output_that_holds_the_runs_own_data_is_not_renamed(files, tmp_path):
    output = tmp_path / "mine"
    output.mkdir()
    rows = save_rows(output / "rows.jsonl")
    train(config((files[0], rows), output))
    with pytest.raises(QweftError, match=r"holds an earlier run, and .*rows\.jsonl, which this run reads; choose"):
        train(config((files[0], rows), output, training={"learning_rate": 2e-3}))
    assert Path(rows).is_file() and (output / "adapter").is_dir()


def test_an_output_that_holds_the_commands_own_config_is_not_renamed(files, tmp_path, capsys):
    """The same command with --resume auto would find no config any more."""
    output = tmp_path / "mine"
    made = config(files, output)
    train(made)
    (output / "config.yaml").write_text(dump_yaml(made))
    before = sorted(path.name for path in output.iterdir())
    assert main(["train", str(output / "config.yaml")]) == 2
    said = "".join(capsys.readouterr().err.split())
    assert f"holdsanearlierrun,and{output / 'config.yaml'},whichthisrunreads;chooseanother--output" in said
    assert sorted(path.name for path in output.iterdir()) == before and not (tmp_path / "mine-1").exists()


@pytest.mark.parametrize("place", ["base", "search/lora-0.01-0"])
def test_a_comparison_in_the_same_output_is_not_renamed_with_the_run(files, tmp_path, monkeypatch, place):
    """As runs/train is the folder of qweft train, and of qweft compare train.csv."""
    output = tmp_path / "mine"
    train(config(files, output))
    (output / place).mkdir(parents=True)
    (output / place / "run.json").write_text("{}")
    monkeypatch.setattr("qweft.training.run.fit", lambda *_, **__: pytest.fail("it is refused before"))
    with pytest.raises(QweftError, match=rf"holds an earlier run, and {output / place}, another run"):
        train(config(files, output, training={"learning_rate": 2e-3}))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_of_a_link_the_folder_that_it_leads_to_is_renamed(files, tmp_path):
    (tmp_path / "large").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / "large")
    train(config(files, tmp_path / "mine"))
    train(config(files, tmp_path / "mine", training={"learning_rate": 2e-3}))
    assert (tmp_path / "mine").is_symlink() and (tmp_path / "large/adapter").is_dir()
    assert (tmp_path / "large-1/adapter").is_dir() and not os.path.lexists(tmp_path / "mine-1")


def test_a_folder_that_another_command_holds_is_not_renamed_with_the_run(files, tmp_path):
    output = tmp_path / "runs"
    train(config(files, output))
    with (
        claims.claimed_output(output / "b", "qweft compare"),
        pytest.raises(QweftError, match="holds b, which another command writes"),
    ):
        train(config(files, output, training={"learning_rate": 2e-3}))
    assert (output / "adapter").is_dir()
    train(config(files, output, training={"learning_rate": 2e-3}))


def test_an_adapter_that_was_cut_short_is_no_finished_run(files, tmp_path, capsys):
    output = tmp_path / "mine"
    weights = output / "adapter/adapter_model.safetensors"
    train(config(files, output))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    train(config(files, output, resume="auto"))
    assert weights.read_bytes() == whole and "is finished already" not in said(capsys)
    train(config(files, output, resume="auto"))
    assert "is finished already" in said(capsys)


def test_without_a_home_folder_the_record_is_written(files, tmp_path, monkeypatch):
    def nowhere():
        raise QweftError("there is no home folder; set QWEFT_CACHE")

    monkeypatch.setattr(records, "cache_folder", nowhere)
    train(config(files, tmp_path / "mine"))
    assert records.MARK not in records.read_record(tmp_path / "mine/run.json", "")


@pytest.mark.parametrize("which", ["output", "data", "model"])
def test_a_name_that_is_no_text_is_refused_at_once(files, tmp_path, which):
    strange = f"{tmp_path}/r\udce9sultats"
    wrong = config(files, strange if which == "output" else tmp_path / "mine")
    if which == "data":
        Path(os.fsencode(strange).decode("utf-8", "surrogateescape")).write_bytes(Path(files[1]).read_bytes())
        wrong = replace(wrong, data=replace(wrong.data, source=strange))
    if which == "model":
        wrong = replace(wrong, model=ModelConfig(name=strange, device="cpu"))
    with pytest.raises(QweftError, match=f"^{which} .*the name is not in UTF-8; rename it"):
        train(wrong)


def test_without_a_folder_for_temporary_files_nothing_is_renamed(files, tmp_path, monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(claims.tempfile, "gettempdir", none)
    with pytest.raises(QweftError, match="no folder for temporary files; name one by TMPDIR"):
        train(config(files, tmp_path / "mine"))


class Full:
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = None

    def isatty(self):
        return False


def test_a_full_disk_of_the_terminals_lines_ends_no_training(files, tmp_path, monkeypatch):
    """As of `nohup qweft train ... > log` on the disk that fills."""
    Full.flush = lambda self: self.write("")
    monkeypatch.setattr(sys, "stdout", Lenient(Full()))
    monkeypatch.setattr(sys, "stderr", Lenient(Full()))
    train(config(files, tmp_path / "mine"))
    assert (tmp_path / "mine/run.json").is_file()

    def broken(self, text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(Full, "write", broken)
    with pytest.raises(BrokenPipeError):
        Lenient(Full()).write("a")


def test_a_report_whose_disk_is_full_ends_no_training(files, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard")
    from transformers.integrations import TensorBoardCallback

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TensorBoardCallback, "on_log", full)
    train(config(files, tmp_path / "mine", report_to=["tensorboard"]))
    assert (tmp_path / "mine/run.json").is_file()
    assert capsys.readouterr().err.count("TensorBoardCallback reports no more (No space left on device)") == 1


def test_deepspeed_is_refused(files, tmp_path, monkeypatch):
    """It reads checkpoints as pickles."""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(QweftError, match=r"DeepSpeed, which is not supported; .* --use_fsdp"):
        check_start(config(files, tmp_path))


def test_a_precision_of_accelerate_s_own_is_refused(files, tmp_path, monkeypatch):
    """It would train and judge the adapter in another precision than the base model, and no record would say so."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(
        QweftError, match=r"ACCELERATE_MIXED_PRECISION is 'bf16' .* precision of the base model by --model"
    ):
        check_start(config(files, tmp_path / "mine"))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    check_start(config(files, tmp_path / "mine"))


def test_nothing_is_reported_where_nothing_is_named(monkeypatch):
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_TOKEN", "x")
    assert arguments(TrainingConfig(max_steps=2), 8, "unused").report_to == []


def test_a_training_that_diverges_says_where_its_best_adapter_is(files, tmp_path, monkeypatch):
    output = tmp_path / "mine"

    def diverged(curve, last, training):
        raise DivergedError("the training loss is not a number from step 2 on", ())

    monkeypatch.setattr(loop, "_finite_curve", diverged)
    with pytest.raises(DivergedError, match=f"from step 2 on; the best adapter so far is in {output / 'best'}"):
        train(config(files, output, validation=ValidationConfig(every=1)))
    assert (output / "best/adapter_config.json").is_file()
