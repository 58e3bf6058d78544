"""Adapter folders that are malformed: one sentence comes of each, or exactly the adapter that is in the file."""

import copy
import json
import shutil

import pytest
import torch
from peft import get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save

from qweft.evaluation.record import model_of
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.adapter.test_method import small
from tests.malformed.cases import cases, outcome
from tests.malformed.mutations import malformed_json, misspelt, mutated_bytes

BASE, EMBEDDINGS = "base_model.model.", {"lm_head.weight", "model.embed_tokens.weight"}
CONFIG, FILE = "adapter_config.json", "adapter_model.safetensors"
EXTRA = (
    "surprise", "base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight",
    "base_model.model.model.norm.weight", "base_model.model.model.layers.0.self_attn.q_proj.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
)  # fmt: skip
"""Keys of weights that are no adapter's."""
TYPES = (torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool, torch.complex64)


@pytest.fixture(scope="module")
def loaded(tiny_run):
    """The base model, which every case leaves as it was."""
    return load_model(ModelConfig(tiny_run[0], dtype="float32", device="cpu"))


@pytest.fixture
def folder(loaded, tmp_path):
    """A saved adapter, and the model's config beside it."""
    config = small("qtha", target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_weights=False)
    model = get_peft_model(copy.deepcopy(loaded.model), config)
    model.save_pretrained(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "case")
    return tmp_path


def opened(loaded, case):
    """The adapter of a folder on the model, as all commands that take one open it; what it holds, and what its file."""
    model_of(case, {})
    before = {key: tensor.clone() for key, tensor in loaded.model.state_dict().items()}
    try:
        model = put_on(loaded, case)
        held = {key: tensor.clone() for key, tensor in get_peft_model_state_dict(model).items()}
        embeddings = {f"{BASE}{key}": model.state_dict()[f"{BASE}{key}"].clone() for key in EMBEDDINGS}
        model.unload()
    finally:
        for leftover in ("peft_config", "_hf_peft_config_loaded"):
            vars(loaded.model).pop(leftover, None)
        after = loaded.model.state_dict()
        changed = {key for key, tensor in before.items() if not torch.equal(tensor, after.get(key, tensor))}
        if changed:
            loaded.model.load_state_dict(before)
    assert changed <= EMBEDDINGS, changed  # which PEFT saves after a resize of the vocabulary
    given = load_file(case / FILE)
    return held | {key: tensor for key, tensor in embeddings.items() if key in given}, given


def check_held(what, found):
    """See that the model held exactly what is in the file, and that all of it is numbers."""
    held, given = found
    assert held.keys() == given.keys(), (what, held.keys() ^ given.keys())
    for key, tensor in held.items():
        assert given[key].is_floating_point() and torch.isfinite(given[key]).all(), (what, key)
        assert torch.equal(tensor, given[key].to(tensor.dtype)), (what, key)


def test_mutated_adapter_configs(loaded, folder, monkeypatch):
    names = list(loaded.model.state_dict())
    whole = json.loads((folder / "whole" / CONFIG).read_text())
    for number, draw in cases("adapter configs"):
        content = malformed_json(whole, draw)
        (folder / "case" / CONFIG).write_bytes(content)
        what = f"adapter config {number}: {content.decode('utf-8', 'replace')}"
        found = outcome(what, opened, loaded, folder / "case")
        if found is not None:
            check_held(what, found)
        assert list(loaded.model.state_dict()) == names, what


def edited(tensors, draw):
    """Tensors of which one or more are gone, renamed, of another type or shape, empty, or no numbers."""
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    for _ in range(draw.choice((1, 1, 2, 5))):
        key = draw.choice(sorted(tensors))
        tensor, how = tensors[key], draw.randrange(8)
        if how == 0:
            del tensors[key]
        elif how == 1:
            tensors[misspelt(key, draw)] = tensors.pop(key)
        elif how == 2:
            tensors[key] = tensor.to(draw.choice(TYPES))
        elif how == 3:
            tensors[key] = torch.zeros([draw.randrange(4) for _ in range(draw.randrange(4))])
        elif how == 4:
            tensors[key] = tensor.flatten()
        elif how == 5:
            tensors[key] = tensor.mT.contiguous() if tensor.ndim > 1 else tensor[None]
        elif how == 6 and tensor.is_floating_point() and tensor.numel():
            tensor.view(-1)[draw.randrange(tensor.numel())] = draw.choice((float("nan"), float("inf"), float("-inf")))
        else:
            tensors[draw.choice(EXTRA)] = draw.choice((tensor.clone(), torch.zeros(315, 20)))
        if not tensors:
            break
    return tensors


def test_mutated_adapter_files(loaded, folder):
    names = list(loaded.model.state_dict())
    tensors = load_file(folder / "whole" / FILE)
    whole = (folder / "whole" / FILE).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for number, draw in cases("adapter files"):
        how = draw.random()
        if how < 0.5:
            content = save(edited(tensors, draw))
        elif how < 0.8:
            content = mutated_bytes(whole[:header], draw) + whole[header:]
        else:
            content = whole[: draw.randrange(len(whole))]
        (folder / "case" / FILE).write_bytes(content)
        what = f"adapter file {number}: {content[:1500]!r}"
        found = outcome(what, opened, loaded, folder / "case")
        if found is not None:
            check_held(what, found)
        assert list(loaded.model.state_dict()) == names, what
