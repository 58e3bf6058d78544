"""What a run says that was stopped, or whose record cannot be written, and what a kill at its end leaves."""

import errno
import json
import os
import re
import shutil
from dataclasses import replace

import pytest
import torch
from tests.training.test_resume import StoppedError, config, files, stop_after, weights  # noqa: F401

from qweft import records
from qweft.errors import QweftError
from qweft.training import checkpoints, record, run, run_folder
from qweft.training.config import CheckpointConfig, RunConfig, ValidationConfig
from qweft.training.run import train
from qweft.training.run_folder import kept, written


@pytest.mark.parametrize("every", [None, 2])
def test_a_record_that_cannot_be_written_is_told_apart_from_the_adapter(files, tmp_path, monkeypatch, every):  # noqa: F811
    def full(path, record):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(run, "write_json", full)
    with pytest.raises(QweftError, match=r"^the adapter is in .*, and its record could not be written to .*run\.json"):
        train(config(files, tmp_path, every=every))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    monkeypatch.undo()
    assert train(config(files, tmp_path, every=every, resume="auto")).fit.steps == 8
    assert (tmp_path / "run.json").is_file()


@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("judged", [None, 2])
def test_an_adapter_that_cannot_be_written_is_told_with_what_is_kept(files, tmp_path, monkeypatch, every, judged):  # noqa: F811
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "save_adapter", full)
    monkeypatch.setattr(checkpoints, "write_json", full)
    with pytest.raises(QweftError) as error:
        train(config(files, tmp_path, every=every, validation=ValidationConfig(every=judged)))
    said, best = str(error.value), f"; the best adapter so far is in {tmp_path / 'best'}"
    way = "there is no checkpoint to go on from" if every else "with checkpoints.every it would go on from there"
    assert said.endswith(f"and run again; {way}{best if judged else ''}")
    assert (tmp_path / "best" / "adapter_model.safetensors").is_file() == bool(judged)


@pytest.mark.parametrize("what", ["run.json", "adapter", "best", "adapter, checkpoint", "nothing"])
def test_what_is_kept_is_told_without_a_clock(files, tmp_path, what):  # noqa: F811
    """A file server's clock may be behind: what was written has an earlier time than that of the command's start."""
    made, out = config(files, tmp_path / "out", validation=ValidationConfig(every=2)), tmp_path / "out"
    before = written(out)
    train(made)
    done = out / "adapter"
    shutil.copytree(done, out / "best")
    if what != "run.json":
        (out / "run.json").unlink()
    if "adapter" not in what and what != "run.json":
        shutil.rmtree(done)
    if "checkpoint" in what:
        (out / "checkpoints" / "step-8").mkdir(parents=True)
        (out / "checkpoints" / "step-8" / checkpoints.MANIFEST).write_text("{}")
    for path in out.rglob("*"):
        os.utime(path, (1, 1))
    if what == "nothing":
        before = written(out)
    said = kept(out, made, before)
    assert said == {
        "run.json": f"the run is finished, and its adapter is in {done}",
        "adapter": f"the adapter is in {done}, and its record is not; the same command trains it anew",
        "adapter, checkpoint": f"the adapter is in {done}, and its record is not; the checkpoint of step 8 is kept; "
        "go on with the same command and --resume auto",
        "best": "no checkpoint was kept before the first checkpoint (step 2); the same command begins anew; the best "
        f"adapter so far is in {out / 'best'}",
        "nothing": "nothing was kept before the first checkpoint (step 2); the same command begins anew",
    }[what]  # fmt: skip


def killed_at_the_end(files, folder, monkeypatch):  # noqa: F811
    """A finished run that was killed as it removed its checkpoints, the first of which is half there."""
    made = config(files, folder, validation=ValidationConfig(every=2))
    made = replace(made, checkpoints=CheckpointConfig(2, newest=2))

    def die(path):
        if path.name == "optimizer.pt":
            raise StoppedError
        return remove(path)

    remove = checkpoints.remove
    with monkeypatch.context() as patch:
        patch.setattr(run, "remove_what_is_done", lambda *words: die_in(words))

        def die_in(words):
            patch.setattr(checkpoints, "remove", die)
            run_folder.remove_what_is_done(*words)

        with pytest.raises(StoppedError):
            train(made)
    assert (folder / "run.json").is_file() and list((folder / "checkpoints").glob("step-*"))
    return made


def test_the_same_command_removes_what_a_kill_left(files, tmp_path, monkeypatch, capsys):  # noqa: F811
    made = killed_at_the_end(files, tmp_path / "out", monkeypatch)
    train(replace(made, resume="auto"))
    assert "finished already" in "".join(capsys.readouterr().out)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["adapter", "run.json"]


@pytest.mark.parametrize("resume", ["auto", "no"])
def test_another_run_renames_what_a_kill_left(files, tmp_path, monkeypatch, resume):  # noqa: F811
    made = killed_at_the_end(files, tmp_path / "out", monkeypatch)
    train(replace(made, training=replace(made.training, learning_rate=3e-3), resume=resume))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["adapter", "run.json"]
    assert (tmp_path / "out-1" / "checkpoints").is_dir() and (tmp_path / "out-1" / "run.json").is_file()


def test_half_a_checkpoint_is_still_known_as_a_run_s(tmp_path, monkeypatch):
    folder = tmp_path / "step-2"
    (folder / "deeper").mkdir(parents=True)
    for name in ("optimizer.pt", checkpoints.MANIFEST, "deeper/x"):
        (folder / name).write_text("")
    gone = []
    monkeypatch.setattr(checkpoints, "remove", lambda path: gone.append(path.name))
    checkpoints.remove_all(tmp_path)
    assert checkpoints.MANIFEST not in gone and gone[-2:] == ["step-2", checkpoints.STAGING]
    monkeypatch.undo()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in (checkpoints.MANIFEST, "x"):
        (theirs / name).write_text("")
    (tmp_path / "step-4").symlink_to(theirs)
    checkpoints.remove_all(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"] and len(list(theirs.iterdir())) == 2


def test_a_checkpoint_in_place_of_a_damaged_one_stays(files, tmp_path, monkeypatch):  # noqa: F811
    made = config(files, tmp_path / "out")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(made)
    (tmp_path / "out/checkpoints/step-2/optimizer.pt").write_bytes(b"")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(replace(made, resume="auto"))
    assert (tmp_path / "out/checkpoints/step-2" / checkpoints.MANIFEST).is_file()
    assert (tmp_path / "out/checkpoints/step-2/optimizer.pt").stat().st_size


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_checkpoint_or_record_that_a_disk_refuses_is_not_damaged(tmp_path, monkeypatch, number):
    kept = checkpoints.Checkpoints(tmp_path / "checkpoints", {"weights": "w", "processes": 1})
    written = kept.staging / "checkpoint-2"
    written.mkdir(parents=True)
    for name in ("optimizer.pt", "scheduler.pt"):
        (written / name).write_bytes(b"x")
    (written / checkpoints.STATE).write_text('{"global_step": 2}')
    kept.keep(2)
    assert kept.find().step == 2
    (tmp_path / "run.json").write_text("{}")

    def refuse(*_):
        raise OSError(number, os.strerror(number), "run.json")

    for module in (checkpoints, records):
        with monkeypatch.context() as patch:
            patch.setattr(module, "read_bytes", refuse)
            with pytest.raises(OSError, match=re.escape(os.strerror(number))):
                kept.find()
    with monkeypatch.context() as patch:
        patch.setattr(records, "read_bytes", refuse)
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            record.finished(tmp_path / "run.json", RunConfig(resume="auto"))
        assert record.finished(tmp_path / "run.json", RunConfig()) is None
    assert kept.find().step == 2
    (tmp_path / "checkpoints/step-2/optimizer.pt").unlink()
    assert kept.find() is None


@pytest.mark.parametrize("every", [None, 3])
def test_a_run_that_is_stopped_as_it_is_judged_is_judged_by_the_next_start(files, tmp_path, monkeypatch, every):  # noqa: F811
    whole = train(config(files, tmp_path / "whole", every=None))
    made, out = config(files, tmp_path / "out", every=every), tmp_path / "out"
    judge, times = run.held_out_loss, []

    def stop(*given):
        times.append(1)
        if len(times) == 2:  # the first one is that of the base model
            raise KeyboardInterrupt
        return judge(*given)

    with monkeypatch.context() as patch:
        patch.setattr(run, "held_out_loss", stop)
        with pytest.raises(KeyboardInterrupt) as stopped:
            train(made)
    said = f"the adapter is trained, and in {out / 'adapter'}; the same command with --resume auto judges it"
    assert stopped.value.__notes__ == [said]
    assert json.loads((out / "run.json").read_text())["adapted"] is None
    for left in ("adapter/.README.md.0a1b2c.tmp", "..claim.json.0a1b2c.tmp"):  # by a kill
        (out / left).touch()
    monkeypatch.setattr(run, "fit", lambda *_, **__: pytest.fail("it is trained already"))
    found = train(replace(made, resume="auto", evaluation=replace(made.evaluation, batch_size=3)))
    assert found.adapted.loss == pytest.approx(whole.adapted.loss, rel=1e-5) and found.fit.steps == 8
    assert found.base.loss == pytest.approx(whole.base.loss, rel=1e-5) and len(found.base.rows) == 4
    assert all(torch.equal(tensor, weights(found)[name]) for name, tensor in weights(whole).items())
    assert sorted(path.name for path in out.iterdir()) == ["adapter", "run.json"]
    assert not list((out / "adapter").glob(".*"))
    told = {at: json.loads((tmp_path / at / "run.json").read_text()) for at in ("whole", "out")}
    assert told["out"].keys() == told["whole"].keys() and told["out"]["training"]["curve"]
    assert (out / "adapter/README.md").read_text().count("with this adapter") == 1
    assert train(replace(made, resume="auto")).adapted.loss == found.adapted.loss  # it is finished now


def test_a_run_that_was_not_judged_is_renamed_by_another_one(files, tmp_path, monkeypatch):  # noqa: F811
    made = config(files, tmp_path / "out", every=3)
    train(made)
    record = json.loads((tmp_path / "out/run.json").read_text())
    (tmp_path / "out/run.json").write_text(json.dumps(record | {"adapted": None}))
    train(made)
    assert json.loads((tmp_path / "out-1/run.json").read_text())["adapted"] is None
    assert json.loads((tmp_path / "out/run.json").read_text())["adapted"]["loss"]
    broken = record | {"adapted": None, "training": record["training"] | {"step_seconds_median": "1"}}
    (tmp_path / "out/run.json").write_text(json.dumps(broken))
    with pytest.raises(QweftError, match=r"run\.json is damaged .*; remove that file to train anew"):
        train(replace(made, resume="auto"))
