"""A run that is stopped goes on where it stood, to the bit, and overwrites nothing of an earlier one."""

import json
import pickle
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from qweft.core.errors import QweftError
from qweft.core.files import write_json
from qweft.data.config import DataConfig
from qweft.models.config import ModelConfig
from qweft.training import callbacks as module
from qweft.training import run
from qweft.training.checks import check_settings
from qweft.training.config import CheckpointConfig, RunConfig, TrainingConfig, ValidationConfig
from qweft.training.run import train
from tests.hostile import save_marking_pickle
from tests.tiny_folder import save_rows, save_tiny_model

TARGETS = ["q_proj", "v_proj"]
ADAPTERS = {
    "qtha": {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "dropout": 0.2, "target_modules": TARGETS},
    "basis": {
        "preset": "mpo", "compress": "basis", "expand": "basis", "r": 4, "dropout": 0.2, "target_modules": TARGETS},
    "sparse": {"preset": "sparse", "width": 4, "dropout": 0.2, "target_modules": TARGETS},
    "lora": {"peft_type": "LORA", "r": 2, "lora_dropout": 0.2, "target_modules": TARGETS},
}  # fmt: skip


class StoppedError(Exception):
    """As if the power had failed."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")


def config(files, output, adapter="qtha", every=2, training=None, **changes):
    budget = {"max_steps": 8, "batch_size": 3, "gradient_accumulation": 2, "learning_rate": 1e-2, "seed": 5}
    return RunConfig(
        model=ModelConfig(name=files[0], device="cpu"),
        data=DataConfig(source=files[1], train_rows=16, validation_rows=6, test_rows=4, max_length=48),
        adapter=ADAPTERS[adapter] if isinstance(adapter, str) else adapter,
        training=TrainingConfig(**budget | (training or {})),
        checkpoints=CheckpointConfig(every),
        output=str(output),
        **changes,
    )


def weights(found):
    return load_file(found.adapter_folder / "adapter_model.safetensors")


def same_weights(one, other):
    assert weights(one).keys() == weights(other).keys()
    return all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


def stop_after(patch, step):
    """The process ends right after the checkpoint of that step."""
    complete = module.Checkpoints.on_save

    def stop(self, args, state, control, **kwargs):
        complete(self, args, state, control, **kwargs)
        if state.global_step == step:
            raise StoppedError

    patch.setattr(module.Checkpoints, "on_save", stop)


def stopped(made, step):
    """Train until the process ends right after the checkpoint of a step."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(StoppedError):
            train(made)


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


RATES = {"learning_rates": {"circuit": 3e-2, "linear": 3e-3}}
EACH = {"validation": ValidationConfig(every=2)}
PATIENT = {"validation": ValidationConfig(every=1, patience=3)}
RESUMED = [
    ("qtha", RATES, {}, 4), ("basis", {"packing": True}, EACH, 6), ("sparse", {"gradient_checkpointing": True}, {}, 2),
    ("lora", {"max_steps": None, "epochs": 3}, EACH, 8),
    ("qtha", {"learning_rate": 0.3}, PATIENT, 2), ("lora", {"packing": True, "logging_steps": 3}, {}, 2),
]  # fmt: skip


@pytest.mark.parametrize(("adapter", "training", "changes", "step"), RESUMED)
def test_stopped_and_resumed_is_never_stopped(files, tmp_path, adapter, training, changes, step):
    whole = train(config(files, tmp_path / "whole", adapter, None, training, **changes))
    parts = config(files, tmp_path / "parts", adapter, 2, training, **changes)
    stopped(parts, step)
    torch.manual_seed(99)  # whatever another process would have drawn
    resumed = train(replace(parts, resume="auto"))
    assert (resumed.fit.steps, resumed.fit.best_step) == (whole.fit.steps, whole.fit.best_step)
    assert resumed.fit.validation_curve == whole.fit.validation_curve
    assert resumed.fit.train_loss == pytest.approx(whole.fit.train_loss, rel=1e-6)
    if training.get("logging_steps", 1) == 1:
        assert resumed.fit.curve == whole.fit.curve
    assert same_weights(whole, resumed) and resumed.adapted == whole.adapted
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["adapter", "run.json"]


def test_a_run_that_had_lost_its_patience_does_not_train_on(files, tmp_path, monkeypatch):
    """Stopped between its last checkpoint and its adapter."""
    patient = {"training": {"learning_rate": 0.5}, "every": 1, "validation": ValidationConfig(every=1, patience=1)}
    whole = train(config(files, tmp_path / "whole", **patient))
    assert whole.fit.steps < 8
    parts = config(files, tmp_path / "parts", **patient)
    with monkeypatch.context() as patch:
        patch.setattr(run, "save_adapter", lambda *_: (_ for _ in ()).throw(StoppedError))
        with pytest.raises(StoppedError):
            train(parts)
    resumed = train(replace(parts, resume="auto"))
    assert resumed.fit.steps == whole.fit.steps and resumed.fit.validation_curve == whole.fit.validation_curve
    assert same_weights(whole, resumed)


def given(monkeypatch, *losses):
    """These validation losses, one after another; at `None` the process ends."""
    left, judge = iter(losses), run.held_out_loss

    def next_loss(model, rows, *words):
        if len(rows) != 6:
            return judge(model, rows, *words)
        if (loss := next(left)) is None:
            raise StoppedError
        return type("Loss", (), {"loss": loss})

    monkeypatch.setattr(run, "held_out_loss", next_loss)


def test_a_best_adapter_of_a_step_after_the_checkpoint_is_not_taken_for_its_own(files, tmp_path):
    """The stop was between a better validation and the next checkpoint, and losses differ the second time."""
    training = {"max_steps": 4, "gradient_accumulation": 1, "batch_size": 2}
    made = config(files, tmp_path, every=2, training=training, validation=ValidationConfig(every=1))
    with pytest.MonkeyPatch.context() as patch:
        given(patch, 5.0, 4.0, 3.9, None)
        with pytest.raises(StoppedError):
            train(made)
    of_step_2 = load_file(tmp_path / "checkpoints/checkpoint-2/adapter_model.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        given(patch, 4.1, 5.0)
        found = train(replace(made, resume="auto"))
    assert found.fit.best_step == 2
    assert all(torch.equal(tensor, of_step_2[name]) for name, tensor in weights(found).items())


@pytest.fixture(scope="module")
def half(files, tmp_path_factory):
    """The folder of a run that was stopped after its sixth step."""
    output = tmp_path_factory.mktemp("half") / "run"
    stopped(config(files, output), 6)
    return output


def test_the_newest_complete_checkpoint_is_taken(files, half, tmp_path, capsys):
    shutil.copytree(half, tmp_path / "run")
    kept = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in kept.glob("*-*")) == ["checkpoint-4", "checkpoint-6"]
    assert not list(kept.rglob("training_args.bin"))
    (kept / "checkpoint-6" / module.COMPLETE).unlink()
    train(config(files, tmp_path / "run", resume="auto"))
    words = said(capsys).replace(" ", "")
    assert "checkpoint-6isincomplete" in words and "goingonfromstep4" in words


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth"])
def test_a_pickle_in_a_checkpoint_is_not_run(files, half, tmp_path, name):
    shutil.copytree(half, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "checkpoint-6"
    save_marking_pickle(folder / name, tmp_path / "marker")
    with pytest.raises(pickle.UnpicklingError):
        train(config(files, tmp_path / "run", resume="auto"))
    assert not (tmp_path / "marker").exists()


def test_shards_of_another_user_are_not_unpickled(tmp_path):
    checkpoints = module.Checkpoints(tmp_path, {"weights": "w"})
    checkpoints.begin()
    folder = tmp_path / "checkpoint-2"
    folder.mkdir()
    (folder / "x.distcp").write_bytes(b"x")
    (folder / module.COMPLETE).touch()
    assert checkpoints.find() == folder
    write_json(tmp_path / module.IDENTITY, {"format": 1, "run": {"weights": "w"}})
    with pytest.raises(QweftError, match="unpickles"):
        checkpoints.find()


def test_checkpoints_of_another_run_are_not_gone_on_from(files, half, tmp_path, monkeypatch):
    shutil.copytree(half, tmp_path / "run")
    with pytest.raises(QweftError, match=r"not finished; go on with --resume auto"):
        train(config(files, tmp_path / "run"))
    with pytest.raises(QweftError, match=r"another run: training.learning_rate was 0.01 there and is 0.02"):
        train(config(files, tmp_path / "run", training={"learning_rate": 2e-2}, resume="auto"))
    tensors = load_file(f"{files[0]}/model.safetensors")
    other = shutil.copytree(files[0], tmp_path / "model")
    save_file({key: 1.5 * each for key, each in tensors.items()}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match=r"another run: "):
        train(config((str(other), files[1]), tmp_path / "run", resume="auto"))
    monkeypatch.setattr(run, "processes", lambda: 2)
    with pytest.raises(QweftError, match=r"another run: processes was 1 there and is 2 now"):
        train(config(files, tmp_path / "run", resume="auto"))


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """A run in one go."""
    return train(config(files, tmp_path_factory.mktemp("whole"), every=None))


def test_a_run_that_is_stopped_as_it_is_judged_is_judged_by_the_next_start(files, whole, tmp_path, monkeypatch):
    made, out, judge, times = config(files, tmp_path / "out", every=None), tmp_path / "out", run.held_out_loss, []

    def stop(*words):
        times.append(1)
        if len(times) == 2:  # the first one is that of the base model
            raise KeyboardInterrupt
        return judge(*words)

    with monkeypatch.context() as patch:
        patch.setattr(run, "held_out_loss", stop)
        with pytest.raises(KeyboardInterrupt) as error:
            train(made)
    assert "--resume auto judges it" in error.value.__notes__[0]
    assert json.loads((out / "run.json").read_text())["adapted"] is None
    monkeypatch.setattr(run, "fit", lambda *_, **__: pytest.fail("it is trained already"))
    found = train(replace(made, resume="auto"))
    assert found.adapted.loss == pytest.approx(whole.adapted.loss, rel=1e-5) and found.fit == replace(
        whole.fit, **{name: getattr(found.fit, name) for name in TIMES}
    )
    assert same_weights(whole, found) and train(replace(made, resume="auto")).adapted.loss == found.adapted.loss


TIMES = ("step_seconds_median", "peak_memory_bytes", "step_seconds_spread", "cpu_by_others", "load_average")


def test_a_finished_run_is_not_made_again(files, whole, tmp_path, capsys):
    own = config(files, tmp_path, every=None, resume="auto")
    shutil.copytree(whole.adapter_folder.parent, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "run.json").stat().st_mtime_ns
    again = train(own)
    assert "finished already" in said(capsys) and (tmp_path / "run.json").stat().st_mtime_ns == before
    assert again.adapted.loss == whole.adapted.loss and again.fit.steps == 8
    with pytest.raises(QweftError, match=r"was judged on its test rows; .*validation"):
        train(replace(own, evaluation=replace(own.evaluation, split="validation")))
    shutil.rmtree(tmp_path / "adapter")
    assert train(own).adapted.loss == whole.adapted.loss


def test_an_earlier_run_is_kept_beside(tmp_path, capsys):
    """One of other settings, of other rows, and of other weights, one after another."""
    model, rows = save_tiny_model(tmp_path / "model"), tmp_path / "rows.jsonl"
    out, made = tmp_path / "out", config((model, save_rows(rows)), tmp_path / "out", every=None, resume="auto")
    earlier = weights(train(made))
    (out / "notes.txt").write_text("mine")
    for number, what in enumerate(("settings", "rows", "weights"), 1):
        if what == "settings":
            made = replace(made, training=replace(made.training, learning_rate=2e-2))
        elif what == "rows":
            rows.write_text(rows.read_text().replace("follows", "precedes"))
        else:
            file = tmp_path / "model" / "model.safetensors"
            save_file({key: 1.5 * tensor for key, tensor in load_file(file).items()}, file, {"format": "pt"})
        now = weights(train(made))
        assert "finished already" not in (words := said(capsys)) and "the earlier run in" in words
        kept = load_file(tmp_path / f"out-{number}" / "adapter" / "adapter_model.safetensors")
        assert all(torch.equal(kept[key], tensor) for key, tensor in earlier.items()), what
        assert any(not torch.equal(now[key], tensor) for key, tensor in earlier.items()), what
        assert sorted(path.name for path in out.iterdir()) == ["adapter", "notes.txt", "run.json"]
        earlier = now


def test_what_peft_does_not_take_back_for_training_is_told_before_it(files, tmp_path):
    asked = config(files, tmp_path, {"peft_type": "ADALORA", "init_r": 3, "target_r": 2})
    with pytest.raises(QweftError, match=r"checkpoints\.every does not go with ADALORA"):
        check_settings(asked)
    with pytest.raises(QweftError, match=r"validation\.every does not go with ADALORA"):
        check_settings(replace(asked, checkpoints=CheckpointConfig(), validation=ValidationConfig(2)))
