"""Numbers of a checkpoint by which compiled code would read or write beyond its memory."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny_folder import save_rows, save_tiny_model
from tests.training.test_resume import config, stopped_run, weights, with_right_checksum
from transformers.trainer_pt_utils import safe_globals

from qweft.errors import QweftError
from qweft.training import checkpoints as module
from qweft.training.checkpoints import MANIFEST, NEEDED, STATE, Checkpoints
from qweft.training.run import train


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")


@pytest.fixture(scope="module")
def stopped(files, tmp_path_factory):
    return stopped_run(files, tmp_path_factory.mktemp("stopped"))


def with_state(folder, change):
    """Change what the optimizer keeps of each parameter."""
    saved = torch.load(folder / "optimizer.pt", weights_only=True)
    for kept in saved["state"].values():
        change(kept)
    torch.save(saved, folder / "optimizer.pt")
    with_right_checksum(folder, "optimizer.pt")


@pytest.mark.parametrize("key", ["exp_avg", "exp_avg_sq", "step", "max_exp_avg_sq"])
@pytest.mark.parametrize("value", [torch.ones(7, 1, 3), torch.ones(0), [1.0]], ids=["shape", "empty", "list"])
def test_moments_of_another_shape_than_their_parameter_are_refused(files, stopped, tmp_path, key, value):
    """The fused optimizer takes the parameter's size for theirs, and torch compares neither as it loads them."""
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    with_state(folder, lambda kept: kept.update({key: value}))
    with pytest.raises(QweftError, match=rf"the run cannot go on from {folder} \(.*({key}|list).*; remove"):
        train(config(files, tmp_path / "run", resume="auto"))


def test_moments_that_repeat_one_number_are_read_as_numbers_of_their_own(files, stopped, tmp_path):
    """The fused optimizer reads a row of numbers, whatever their strides say."""
    found = []
    for name in ("repeated", "plain"):
        shutil.copytree(stopped, tmp_path / name)

        def repeat(kept, is_plain=name == "plain"):
            for key in ("exp_avg", "exp_avg_sq"):
                repeated = torch.full((), 0.01).expand_as(kept[key])
                kept[key] = repeated.clone() if is_plain else repeated

        with_state(tmp_path / name / "checkpoints" / "step-4", repeat)
        found.append(weights(train(config(files, tmp_path / name, resume="auto"))))
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


WHOLE = ["model.safetensors", "pytorch_model.bin", "adapter_model.bin", "more/adapter_model.safetensors"]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_a_checkpoint_holds_nothing_that_a_run_does_not_write(files, stopped, tmp_path, name, listed):
    """The trainer would read weights of the whole model before the adapter's, and adapters in folders, too."""
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    (folder / name).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "adapter_model.safetensors", folder / name)
    (folder / ".DS_Store").touch()
    if listed:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][name] = ""
        (folder / MANIFEST).write_text(json.dumps(manifest))
        with_right_checksum(folder, name)
    with pytest.raises(QweftError, match=rf"{folder} holds '{name}', which its run did not write; move it away"):
        train(config(files, tmp_path / "run", resume="auto"))
    assert (folder / name).exists()


@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.0.self_attn.q_proj.base_layer.weight"])
@pytest.mark.parametrize("adapter", ["qtha", "lora"])
def test_base_weights_in_a_checkpoint_are_refused(files, tmp_path, adapter, name):
    """They would replace the base model's own, and the saved adapter would not have them."""
    folder = stopped_run(files, tmp_path, adapter) / "checkpoints" / "step-4"
    file, key = folder / "adapter_model.safetensors", f"base_model.model.{name}"
    save_file(load_file(file) | {key: torch.ones(2, 2)}, file, {"format": "pt"})
    with_right_checksum(folder, file.name)
    refused = rf"the run cannot go on from {folder} \({file}: '{key}' is \[2, 2\], .* not there\); remove that folder"
    with pytest.raises(QweftError, match=refused):
        train(config(files, tmp_path / "run", adapter, resume="auto"))


LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj"]}
BESIDE = {
    "modules_to_save": LORA | {"modules_to_save": ["lm_head"]},
    "trainable_token_indices": LORA | {"trainable_token_indices": [1, 2]},
    "bias": LORA | {"bias": "all"},
    "dora": LORA | {"use_dora": True},
    "pissa": LORA | {"init_lora_weights": "pissa"},
    "lora_ga": LORA | {"init_lora_weights": "lora_ga"},
    "embeddings": LORA | {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "qtha": {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj"], "bias": "all",
             "modules_to_save": ["lm_head"]},
    "vera": {"peft_type": "VERA", "r": 2, "target_modules": ["q_proj"]},
    "prompt tuning": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2},
    "shira": {"peft_type": "SHIRA", "r": 2, "target_modules": ["q_proj"]},
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
def test_a_checkpoint_of_its_own_is_one_of_the_adapter(files, tmp_path, name):
    output = stopped_run(files, tmp_path, BESIDE[name])
    found = train(config(files, output, BESIDE[name], resume="auto"))
    assert found.fit.steps == 8


@pytest.fixture
def written(tmp_path):
    """A checkpoint that a run under FSDP wrote, as far as `Checkpoints` looks at it."""
    kept = Checkpoints(tmp_path, {"rows": "abc", "processes": 1})
    made = kept.staging / "checkpoint-2"
    (made / "optimizer_0").mkdir(parents=True)
    (made / "pytorch_model_fsdp_0").mkdir()
    for name in ("optimizer_0/.metadata", "pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"):
        (made / name).write_bytes(b"tensors")
    for name in ("scheduler.pt", STATE):
        (made / name).write_text('{"global_step": 2}')
    kept.keep(2)
    return kept


@pytest.mark.parametrize("name", ["optimizer_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"])
def test_shards_that_a_stranger_changed_are_not_unpickled(written, name):
    assert written.find().step == 2
    folder = written.folder / "step-2"
    (folder / name).write_bytes(b"a program")
    with_right_checksum(folder, name)
    with pytest.raises(QweftError, match=rf"{folder} holds '.*(metadata|distcp)', which PyTorch unpickles"):
        written.find()


@pytest.mark.parametrize("name", ["optimizer_0/__1.metadata", "__0.metadata", ".metadata", ".METADATA"])
def test_shards_that_no_run_lists_are_refused(written, name):
    folder = written.folder / "step-2"
    (folder / name).write_bytes(b"a program")
    with pytest.raises(QweftError, match=rf"{folder} holds '{name}', which its run did not write"):
        written.find()


@pytest.mark.parametrize("name", ["/dev/zero", "../../elsewhere"])
def test_a_manifest_names_nothing_outside_of_its_checkpoint(written, monkeypatch, name):
    place, read = written.folder / "step-2" / MANIFEST, []
    manifest = json.loads(place.read_text())
    place.write_text(json.dumps({**manifest, "files": {name: "", **manifest["files"]}}))
    monkeypatch.setattr(module, "_digest", read.append)
    assert written.find() is None and read == []


def test_a_key_that_cannot_be_written_is_told_as_the_checkpoint_is(written, monkeypatch):
    monkeypatch.setattr(module, "marked", lambda record, part: record)
    said = []
    written.tell = said.append
    shutil.copytree(written.folder / "step-2", written.staging / "checkpoint-2")
    written.keep(2)
    assert len(said) == 1 and "the key for it cannot be written; set QWEFT_CACHE" in said[0]


def test_shards_of_an_earlier_version_are_refused(written):
    manifest = json.loads((written.folder / "step-2" / MANIFEST).read_text())
    del manifest["mark"]
    (written.folder / "step-2" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(QweftError, match=r"no mark that this version wrote it for you; go on where it was written"):
        written.find()


@pytest.mark.parametrize("name", [".x", "x", "optimizer_0/.x"])
def test_a_link_in_a_checkpoint_is_refused(written, tmp_path_factory, name):
    """The trainer would load an adapter that lies in the folder behind it."""
    elsewhere, folder = tmp_path_factory.mktemp("elsewhere"), written.folder / "step-2"
    (elsewhere / "adapter_model.safetensors").touch()
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(QweftError, match=rf"{folder} holds '{name}', which its run did not write"):
        written.find()


def test_a_rate_that_is_a_tensor_is_refused(files, stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    saved = torch.load(folder / "optimizer.pt", weights_only=True)
    saved["param_groups"][0]["lr"] = torch.zeros(0)
    torch.save(saved, folder / "optimizer.pt")
    with_right_checksum(folder, "optimizer.pt")
    with pytest.raises(QweftError, match=rf"the run cannot go on from {folder} \(.*learning rate"):
        train(config(files, tmp_path / "run", resume="auto"))


def test_a_generator_of_numpy_beyond_its_numbers_is_refused(files, stopped, tmp_path):
    """NumPy reads its next number there, also beyond its memory."""
    shutil.copytree(stopped, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-4"
    with safe_globals():
        saved = torch.load(folder / "rng_state.pth", weights_only=True)
    saved["numpy"] = (*saved["numpy"][:2], 100_000, *saved["numpy"][3:])
    torch.save(saved, folder / "rng_state.pth")
    with_right_checksum(folder, "rng_state.pth")
    before = np.random.get_state()
    try:
        with pytest.raises(QweftError, match=rf"the run cannot go on from {folder} \(.*100,000"):
            train(config(files, tmp_path / "run", resume="auto"))
        assert np.random.get_state()[2] <= 624
    finally:
        np.random.set_state(before)


def test_a_long_identity_is_not_said_whole(tmp_path):
    for identity in ({"rows": "A" * 3_000_000}, {"B" * 3_000_000: 1}):
        step = tmp_path / "step-2"
        step.mkdir(exist_ok=True)
        for name in (*NEEDED, STATE):
            (step / name).write_text('{"global_step": 2}')
        files = {name: module._digest(step / name) for name in (*NEEDED, STATE)}
        manifest = {"step": 2, "identity": identity, "extra": {}, "files": files}
        (step / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(QweftError, match="holds checkpoints of another run") as error:
            Checkpoints(tmp_path, {"rows": "abc"} | dict.fromkeys(identity, 2)).find()
        assert len(str(error.value)) < 3000
