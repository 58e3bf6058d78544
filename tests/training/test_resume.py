"""A run that is stopped goes on where it stood, to the bit."""

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.hostile import save_marking_pickle
from tests.tiny_folder import save_rows, save_tiny_model

from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.training import checkpoints as module
from qweft.training import record, run
from qweft.training.checks import check_settings, check_start
from qweft.training.config import CheckpointConfig, RunConfig, TrainingConfig, ValidationConfig
from qweft.training.run import train
from qweft.training.run_folder import remove_empty

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


def stop_after(monkeypatch, step):
    """The process ends right after the checkpoint of that step."""
    keep = module.Checkpoints.keep

    def stop(self, now, failed=None):
        keep(self, now, failed)
        if now == step:
            raise StoppedError

    monkeypatch.setattr(module.Checkpoints, "keep", stop)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "training",
    [{}, {"packing": True}, {"learning_rates": {"other": 3e-3}}, {"gradient_checkpointing": True}],
    ids=["plain", "packing", "rates", "checkpointing"],
)
def test_stopped_and_resumed_is_never_stopped(files, tmp_path, monkeypatch, adapter, training):
    if "learning_rates" in training and adapter != "lora":
        training = {"learning_rates": {"circuit": 3e-2, "linear": 3e-3} if adapter == "qtha" else {"linear": 3e-3}}
    whole = train(config(files, tmp_path / "whole", adapter, None, training))
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path / "parts", adapter, 2, training))
    torch.manual_seed(99)  # whatever another process would have drawn
    resumed = train(config(files, tmp_path / "parts", adapter, 2, training, resume="auto"))
    assert resumed.fit.steps == 8 and resumed.fit.curve == whole.fit.curve
    assert resumed.fit.train_loss == pytest.approx(whole.fit.train_loss, rel=1e-6)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    assert resumed.adapted == whole.adapted
    assert not (tmp_path / "parts" / "checkpoints").exists()


@pytest.mark.parametrize("validated", [False, True])
def test_stopped_after_the_last_step(files, tmp_path, monkeypatch, capsys, validated):
    """Nothing is left to train: the adapter is judged and written."""
    validation = {"validation": ValidationConfig(every=1)} if validated else {}
    whole = train(config(files, tmp_path / "whole", **validation))
    with monkeypatch.context() as patch:
        stop_after(patch, 8)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path / "stopped", **validation))
    capsys.readouterr()
    resumed = train(config(files, tmp_path / "stopped", resume="auto", **validation))
    assert (resumed.fit.steps, resumed.fit.curve) == (8, whole.fit.curve)
    assert resumed.fit.validation_curve == whole.fit.validation_curve
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(resumed).items())
    assert resumed.adapted == whole.adapted and "(8 steps" in capsys.readouterr().out


def test_validation_goes_on_too(files, tmp_path, monkeypatch):
    judged = ValidationConfig(every=1, patience=3)
    whole = train(config(files, tmp_path / "whole", every=None, validation=judged, training={"learning_rate": 0.3}))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path / "parts", validation=judged, training={"learning_rate": 0.3}))
    resumed = train(
        config(files, tmp_path / "parts", validation=judged, training={"learning_rate": 0.3}, resume="auto")
    )
    assert resumed.fit.validation_curve == whole.fit.validation_curve
    assert (resumed.fit.best_step, resumed.fit.steps) == (whole.fit.best_step, whole.fit.steps)
    assert resumed.adapted == whole.adapted


def test_the_newest_whole_checkpoint_is_taken(files, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path))
    kept = tmp_path / "checkpoints"
    assert sorted(path.name for path in kept.iterdir()) == ["step-4", "step-6"]
    assert not list(kept.rglob("training_args.bin"))
    weights_file = kept / "step-6" / "adapter_model.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:-1])
    (kept / ".staging" / "checkpoint-8").mkdir(parents=True)
    train(config(files, tmp_path, resume="auto"))
    out = capsys.readouterr().out
    said = "".join(out.split())  # lines may end anywhere in a path
    assert "step-6isdamagedandpassedover" in said and "goingonfromstep4" in said


def test_damaged_checkpoints_of_later_steps_do_not_outlive_new_ones(files, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path))
    for name in ("step-4", "step-6"):
        (tmp_path / "checkpoints" / name / "adapter_model.safetensors").write_bytes(b"")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path, resume="auto"))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-2"]


@pytest.mark.parametrize(("name", "value"), [("RANK", "8"), ("RANK", "x"), ("WORLD_SIZE", "4")])
def test_variables_that_no_launcher_set_do_not_silence_a_training(files, tmp_path, monkeypatch, name, value):
    """accelerate believes RANK only beside LOCAL_RANK; it is a name that people give the rank of a LoRA."""
    monkeypatch.setenv(name, value)
    if name == "WORLD_SIZE":
        with pytest.raises(QweftError, match=r"WORLD_SIZE is '4' in the environment, and LOCAL_RANK is not set"):
            check_start(config(files, tmp_path))
    else:
        train(config(files, tmp_path))
        assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file() and (tmp_path / "run.json").is_file()


def stopped_run(files, folder, adapter="qtha"):
    """The folder of a run that was stopped after its fourth step."""
    output = folder / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            train(config(files, output, adapter))
    return output


@pytest.fixture(scope="module")
def stopped(files, tmp_path_factory):
    return stopped_run(files, tmp_path_factory.mktemp("stopped"))


def with_right_checksum(folder, name):
    """Only the way of reading the file protects then."""
    manifest = json.loads((folder / module.MANIFEST).read_text())
    manifest["files"][name] = module._digest(folder / name)
    (folder / module.MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_pickle_in_a_checkpoint_is_not_run(files, stopped, tmp_path, name):
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    save_marking_pickle(folder / name, tmp_path / "marker")
    with_right_checksum(folder, name)
    with pytest.raises(QweftError, match=f"{folder} holds a pickle that is not read, .* remove it"):
        train(config(files, tmp_path / "run", resume="auto"))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, None) for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")),
        ("trainer_state.json", {"save_steps": "x"}),
        ("trainer_state.json", {"log_history": [{"step": 1, "loss": "x"}]}),
        ("trainer_state.json", {"log_history": "x"}),
        ("trainer_state.json", {"log_history": {}}),
        ("trainer_state.json", {"total_flos": "x"}),
        ("trainer_state.json", {"total_flos": 10**400}),
    ],
)
def test_a_checkpoint_that_does_not_load_is_one_sentence(files, stopped, tmp_path, name, change):
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    if change is None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-30])
    else:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    with_right_checksum(folder, name)
    with pytest.raises(QweftError, match=f"the run cannot go on from {folder} .*; remove that folder") as error:
        train(config(files, tmp_path / "run", resume="auto"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("state", [
    "[]", "{", "[" * 100_000, '{"global_step": 5}', '{"global_step": -1}', '{"global_step": "4"}',
    '{"global_step": 4.0}', "pipe",
])  # fmt: skip
def test_a_state_that_ends_the_training_early_is_passed_over(files, stopped, tmp_path, state, capsys):
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    if state == "pipe":
        (folder / "trainer_state.json").unlink()
        os.mkfifo(folder / "trainer_state.json")
        manifest = json.loads((folder / module.MANIFEST).read_text())
        del manifest["files"]["trainer_state.json"]
        (folder / module.MANIFEST).write_text(json.dumps(manifest))
    else:
        (folder / "trainer_state.json").write_text(state)
        with_right_checksum(folder, "trainer_state.json")
    train(config(files, tmp_path / "run", resume="auto"))
    assert "going on from step 2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt"])
def test_a_checkpoint_that_leaves_out_what_the_trainer_can_miss_is_passed_over(files, stopped, tmp_path, name, capsys):
    """The trainer would go on without a word, and to other weights."""
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    (folder / name).unlink()
    manifest = json.loads((folder / module.MANIFEST).read_text())
    del manifest["files"][name]
    (folder / module.MANIFEST).write_text(json.dumps(manifest))
    train(config(files, tmp_path / "run", resume="auto"))
    assert "going on from step 2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_stands_in_place_of_the_staging_folder_goes_and_nothing_else(files, stopped, tmp_path, kind):
    shutil.copytree(stopped, tmp_path / "run")
    staging = tmp_path / "run" / "checkpoints" / module.STAGING
    precious = tmp_path / "elsewhere" / "checkpoint-6" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    staging.symlink_to(tmp_path / "elsewhere") if kind == "link" else staging.write_text("x")
    train(config(files, tmp_path / "run", resume="auto"))
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("damage", [{"base": None}, {"adapted": {}}, {"training": []}, {"training": {"steps": 3}}])
def test_a_damaged_record_of_a_finished_run_is_one_sentence(files, tmp_path, damage):
    train(config(files, tmp_path, training={"max_steps": 1}))
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | damage))
    with pytest.raises(QweftError, match=r"run.json is damaged .*; remove that file to train anew"):
        train(config(files, tmp_path, training={"max_steps": 1}, resume="auto"))


def test_a_run_on_other_weights_of_the_same_folder_is_another(files, tmp_path, monkeypatch):
    folder, run = tmp_path / "model", tmp_path / "run"
    shutil.copytree(files[0], folder)
    own = (str(folder), files[1])
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(config(own, run))
    tensors = load_file(folder / "model.safetensors")
    save_file({key: 1.5 * each for key, each in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match=r"holds checkpoints of another run: weights was "):
        train(config(own, run, resume="auto"))
    manifest = run / "checkpoints" / "step-2" / module.MANIFEST
    record = json.loads(manifest.read_text())
    del record["identity"]["weights"]  # as in earlier versions
    manifest.write_text(json.dumps(record))
    train(config(own, run, resume="auto"))


@pytest.mark.parametrize("passes", [{"max_steps": None, "epochs": 4}, {"max_steps": 8}])
def test_steps_that_another_number_of_processes_began_are_another_run(files, tmp_path, monkeypatch, passes):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path, training=passes))
    with monkeypatch.context() as patch:
        patch.setattr("qweft.training.run_folder.processes", lambda: 2)
        with pytest.raises(QweftError, match=r"holds checkpoints of another run: processes was 1 there and is 2 now"):
            train(config(files, tmp_path, training=passes, resume="auto"))
    manifest = tmp_path / "checkpoints" / "step-2" / module.MANIFEST
    record = json.loads(manifest.read_text())
    del record["identity"]["processes"]  # as in earlier versions
    manifest.write_text(json.dumps(record))
    assert train(config(files, tmp_path, training=passes, resume="auto")).fit.steps > 2


def test_a_run_that_had_lost_its_patience_does_not_train_on(files, tmp_path, monkeypatch):
    """Stopped between its last checkpoint and its adapter."""
    patient = {"training": {"learning_rate": 0.5}, "every": 1}
    patience = ValidationConfig(every=1, patience=1)
    whole = train(replace(config(files, tmp_path / "whole", **patient), validation=patience))
    assert whole.fit.steps < 8

    def stopping(*words, **more):
        raise StoppedError

    parts = replace(config(files, tmp_path / "parts", **patient), validation=patience)
    with monkeypatch.context() as patch:
        patch.setattr(run, "save_adapter", stopping)
        with pytest.raises(StoppedError):
            train(parts)
    resumed = train(replace(parts, resume="auto"))
    assert resumed.fit.steps == whole.fit.steps and resumed.fit.validation_curve == whole.fit.validation_curve
    assert all(torch.equal(weights(resumed)[key], tensor) for key, tensor in weights(whole).items())
    assert resumed.adapted.loss == whole.adapted.loss


def test_a_best_adapter_that_cannot_be_written_costs_no_run(files, tmp_path, monkeypatch, capsys):
    validated = replace(config(files, tmp_path / "out", every=None), validation=ValidationConfig(every=2))
    save, tried = PeftModel.save_pretrained, []

    def failing(self, *words, **more):
        tried.append(1)
        if len(tried) == 2:
            raise OSError(28, "No space left on device")
        return save(self, *words, **more)

    monkeypatch.setattr(PeftModel, "save_pretrained", failing)
    found = train(validated)
    said = " ".join(capsys.readouterr().err.split())
    assert "the best so far, could not be written" in said and "No space left on device" in said
    losses = dict(found.fit.validation_curve)
    assert found.fit.best_step != 4 and losses[found.fit.best_step] == min(v for k, v in losses.items() if k != 4)


def test_a_folder_with_checkpoints_is_not_begun_anew_unasked(files, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path))
    with pytest.raises(QweftError, match=r"holds checkpoints of a run that was not finished; go on with --resume auto"):
        train(config(files, tmp_path))
    with pytest.raises(
        QweftError, match=r"checkpoints of another run: training.learning_rate was 0.01 there and is 0.02"
    ):
        train(config(files, tmp_path, training={"learning_rate": 2e-2}, resume="auto"))
    assert (tmp_path / "checkpoints" / "step-2").is_dir()


def test_a_finished_run_is_not_made_again(files, tmp_path, capsys):
    first = train(config(files, tmp_path, resume="auto"))
    before = (tmp_path / "run.json").stat().st_mtime_ns
    again = train(config(files, tmp_path, resume="auto"))
    assert "finished already" in capsys.readouterr().out
    assert (tmp_path / "run.json").stat().st_mtime_ns == before
    assert again.adapted.loss == first.adapted.loss and again.fit.steps == 8
    asked = config(files, tmp_path, resume="auto")
    asked = replace(asked, evaluation=replace(asked.evaluation, metrics=["text", "reasoning"], answers=7))
    train(asked)
    said = " ".join(capsys.readouterr().out.split())
    assert "for what is asked of its evaluation now: qweft evaluate" in said
    assert said.endswith("adapter --evaluation.metrics text,reasoning --evaluation.answers 7")
    shutil.rmtree(tmp_path / "adapter")
    assert weights(train(config(files, tmp_path, resume="auto"))).keys() == weights(again).keys()
    assert "finished already" not in capsys.readouterr().out


@pytest.mark.parametrize("logged", [3, 50])
def test_the_training_loss_of_a_resumed_run_is_that_of_all_steps(files, tmp_path, logged):
    """The trainer forgets what came since its last log, which may be all."""
    every_step = train(config(files, tmp_path / "each", every=None)).fit
    seldom = {"logging_steps": logged}
    whole = train(config(files, tmp_path / "whole", training=seldom, every=None)).fit
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            train(config(files, tmp_path / "run", training=seldom))
    resumed = train(config(files, tmp_path / "run", training=seldom, resume="auto")).fit
    assert whole.train_loss == pytest.approx(every_step.train_loss, rel=1e-6)
    assert resumed.train_loss == pytest.approx(every_step.train_loss, rel=1e-6)
    assert [step for step, _ in whole.curve] == ([3, 6, 8] if logged == 3 else [8])


def test_a_run_that_diverges_within_its_only_log_is_told(files, tmp_path):
    with pytest.raises(QweftError, match="the training loss is not a number"):
        train(config(files, tmp_path, every=None, training={"logging_steps": 50, "learning_rate": 1e30}))


@pytest.mark.parametrize(
    ("adapter", "method"),
    [
        ({"peft_type": "ADALORA", "init_r": 3, "target_r": 2}, "ADALORA"),
        ({"peft_type": "P_TUNING", "num_virtual_tokens": 2}, "P_TUNING"),
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2, "prefix_projection": True}, "PREFIX_TUNING"),
        ({"peft_type": "VBLORA", "num_vectors": 8, "vector_length": 8, "save_only_topk_weights": True}, "VBLORA"),
    ],
)
def test_what_peft_does_not_take_back_for_training_is_told_before_it(files, tmp_path, adapter, method):
    """The best adapter, and each checkpoint, would be another one, or fail after the whole training."""
    for changes in (
        {"checkpoints": CheckpointConfig(2)},
        {"validation": ValidationConfig(2), "checkpoints": CheckpointConfig()},
    ):
        asked = replace(config(files, tmp_path / "run"), adapter=adapter, **changes)
        with pytest.raises(
            QweftError, match=rf"(checkpoints|validation)\.every does not go with {method}.*; leave it out"
        ):
            train(asked)
    check_settings(replace(asked, validation=ValidationConfig()))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_gives_no_losses_of_other_rows_than_those_that_are_asked_for(files, tmp_path):
    own = config(files, tmp_path / "out", every=None, resume="auto")
    train(own)
    with pytest.raises(QweftError, match=r"was judged on its test rows; judge the others by .*validation"):
        train(replace(own, evaluation=replace(own.evaluation, split="validation")))
    assert train(own).adapted.tokens > 0


@pytest.mark.parametrize("name", ["adapter", "best"])
def test_an_adapter_without_a_record_is_not_overwritten(files, tmp_path, capsys, name):
    """Of a stopped run that said that its best adapter is kept, or from elsewhere."""
    (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / name / "adapter_model.safetensors").write_bytes(b"mine")
    train(config(files, tmp_path / "out", every=None))
    assert (tmp_path / "out-1" / name / "adapter_model.safetensors").read_bytes() == b"mine"
    assert "out held of a run without a record is now" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "out" / "run.json").is_file()


@pytest.mark.parametrize("names", [["adapter"], ["best"], ["run.json"], ["adapter", "run.json"]])
def test_a_folder_of_one_s_own_with_a_run_s_names_is_not_renamed(files, tmp_path, names):
    mine = tmp_path / "project" / "src" / "usb.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("")
    for name in names:
        if name == "run.json":
            (tmp_path / "project" / name).write_text('{"name": "mine", "scripts": []}')
        else:
            (tmp_path / "project" / name).mkdir()
    with pytest.raises(QweftError, match="is there, and no run wrote it; choose another --output"):
        train(config(files, tmp_path / "project", every=None))
    assert sorted(tmp_path.rglob("*.py")) == [mine] and not (tmp_path / "project-1").exists()


def test_a_run_in_the_current_folder_is_kept_there(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(config(files, ".", every=None))
    before = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    with pytest.raises(
        QweftError, match=r"output \. holds earlier results and cannot be renamed .*choose another --output"
    ):
        train(config(files, ".", every=None, training={"seed": 6}))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.parametrize("resume", ["auto", "no"])
@pytest.mark.parametrize("what", ["rows", "weights"])
def test_a_finished_run_on_other_rows_or_weights_is_another_run(tmp_path, capsys, what, resume):
    """Under the same names: the old adapter is neither taken for the new one's nor overwritten."""
    files = save_tiny_model(tmp_path / "model"), save_rows(tmp_path / "rows.jsonl")
    first = weights(train(config(files, tmp_path / "out", every=None)))
    if what == "rows":
        rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
        changed = [{name: f"{text} again" for name, text in row.items()} for row in rows]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, changed)))
    else:
        file = tmp_path / "model" / "model.safetensors"
        save_file({key: 1.5 * tensor for key, tensor in load_file(file).items()}, file, {"format": "pt"})
    capsys.readouterr()
    second = train(config(files, tmp_path / "out", every=None, resume=resume))
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "finished already" not in said
        and "out was another one, by its configuration, rows, base model or processes, and is now" in said
    )
    kept = load_file(tmp_path / "out-1" / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(kept[key], tensor) for key, tensor in first.items())
    assert any(not torch.equal(weights(second)[key], tensor) for key, tensor in first.items())
    assert train(config(files, tmp_path / "out", every=None, resume="auto")).adapted.loss == second.adapted.loss
    assert "finished already" in capsys.readouterr().out and not (tmp_path / "out-2").exists()


def test_a_checkpoint_that_cannot_be_written_costs_no_run(files, tmp_path, monkeypatch, capsys):
    """As on a full disk; the earlier ones stay."""
    whole = train(config(files, tmp_path / "whole", every=None))

    write, keep, there = module.write_json, module.Checkpoints.keep, []

    def full_after_the_first(path, record):
        if "step-2" in there:
            raise OSError(28, "No space left on device")
        write(path, record)

    def watched(self, step, failed=None):
        keep(self, step, failed)
        there[:] = sorted(path.name for path in self.folder.iterdir())
        assert there == ["step-2"]

    monkeypatch.setattr(module, "write_json", full_after_the_first)
    monkeypatch.setattr(module.Checkpoints, "keep", watched)
    found = train(config(files, tmp_path / "full"))
    assert found.adapted == whole.adapted
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("No space left on device") == 3 and "earlier checkpoints are kept" in out


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(files, tmp_path, small_disk, monkeypatch, capsys):
    """It fills up after the first checkpoint, and is emptied by the user after the run could not save its adapter."""
    whole = train(config(files, tmp_path / "whole", every=None))
    keep = module.Checkpoints.keep

    def then_fill(self, step, failed=None):
        keep(self, step, failed)
        with contextlib.suppress(OSError), (small_disk / "other").open("ab") as file:
            while True:
                file.write(bytes(4096))
                file.flush()

    with monkeypatch.context() as patch:
        patch.setattr(module.Checkpoints, "keep", then_fill)
        with pytest.raises(
            QweftError,
            match=r"could not be written to .*; make room there, or allow writing, and run with --resume auto",
        ):
            train(config(files, small_disk / "run"))
    assert capsys.readouterr().out.count("no checkpoint could be written") == 3
    assert [path.name for path in (small_disk / "run" / "checkpoints").iterdir()] == ["step-2"]
    (small_disk / "other").unlink()
    resumed = train(config(files, small_disk / "run", resume="auto"))
    assert resumed.adapted == whole.adapted
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_the_record_holds_what_decides(files, tmp_path):
    train(config(files, tmp_path, resume="auto"))
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["decides"]["training"]["seed"] == 5 and "device" not in record["decides"]["model"]
    assert record["config"]["checkpoints"] == {"every": 2, "newest": 2}


def test_an_empty_folder_of_checkpoints_is_removed_and_no_other(tmp_path):
    staging = tmp_path / "empty" / "checkpoints" / ".staging"
    staging.mkdir(parents=True)
    remove_empty(tmp_path / "empty")
    assert not (tmp_path / "empty" / "checkpoints").exists()
    kept = tmp_path / "kept" / "checkpoints" / "step-5"
    kept.mkdir(parents=True)
    remove_empty(tmp_path / "kept")
    assert kept.exists()
    remove_empty(tmp_path / "missing")


@pytest.mark.parametrize("resume", ["no", "auto"])
def test_what_others_keep_in_the_output_folder_stays(files, tmp_path, capsys, resume):
    """An output may be a project's folder: `--output .`"""
    theirs = ["checkpoints/llama.ckpt", "checkpoints/step-1/model.pt", "checkpoints/step-4/model.pt", ".notes.tmp"]
    theirs.append(".lora.0a1b2c.tmp")  # of an export that is running
    for name in [*theirs, ".cache.tmp/x", ".run.json.0a1b2c.tmp", ".adapter.0a1b2c.tmp/x"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    train(config(files, tmp_path, resume=resume))
    assert all((tmp_path / name).read_text() == "mine" for name in [*theirs, ".cache.tmp/x"])
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["llama.ckpt", "step-1", "step-4"]
    assert [path.name for path in tmp_path.glob(".*.0a1b2c.tmp")] == [".lora.0a1b2c.tmp"]
    assert "step-4isthere,andnorunmadeit" in "".join(capsys.readouterr().out.split())


def validated(files, tmp_path, monkeypatch):
    """A run that was stopped after its checkpoint of step 4, and its config."""
    made = config(files, tmp_path, validation=ValidationConfig(every=2))
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            train(made)
    return replace(made, resume="auto")


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {"curve": "ab"},
        {"curve": []},
        {"best_loss": "x"},
        {"waited": "x"},
        {"best_step": {}},
        {"best_step": 10**39},
    ],
)
def test_a_state_of_the_validation_that_is_none_is_one_sentence(files, tmp_path, monkeypatch, changes):
    resumed = validated(files, tmp_path, monkeypatch)
    manifest = tmp_path / "checkpoints" / "step-4" / "checkpoint.json"
    record = json.loads(manifest.read_text())
    record["extra"] = {} if changes is None else {"validation": record["extra"]["validation"] | changes}
    manifest.write_text(json.dumps(record))
    with pytest.raises(QweftError, match=r"state of the validation is damaged \(.*; remove the checkpoints beside"):
        train(resumed)


@pytest.mark.parametrize("kind", ["gone", "damaged", "a pickle", "a pipe"])
def test_the_best_adapter_is_looked_for_before_the_training_goes_on(files, tmp_path, monkeypatch, kind):
    """It is needed at the end, when hours of training would be lost."""
    resumed = validated(files, tmp_path, monkeypatch)
    file = tmp_path / "best" / "adapter_model.safetensors"
    file.unlink()
    if kind == "damaged":
        file.write_bytes(b"x" * 100)
    elif kind == "a pickle":
        save_marking_pickle(file.with_name("adapter_model.bin"), tmp_path / "marker")
    elif kind == "a pipe":
        os.mkfifo(file)
    with pytest.raises(QweftError, match=r"the best adapter so far cannot be read .* put it back, or remove"):
        train(resumed)
    assert not (tmp_path / "marker").exists()


def test_a_run_of_another_number_of_processes_is_another_run(monkeypatch):
    saved = {"data": {"fingerprint": "rows"}, "weights": "w", "dtype": "torch.float32"}
    asked = ("rows", "w", "torch.float32")
    assert record.is_of(saved, *asked) and record.is_of({**saved, "processes": 1}, *asked)  # earlier ones have none
    assert not record.is_of({**saved, "processes": 2}, *asked)
    monkeypatch.setattr(record, "processes", lambda: 2)
    assert record.is_of({**saved, "processes": 2}, *asked) and not record.is_of({**saved, "processes": 1}, *asked)
