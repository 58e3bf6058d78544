"""Adapter folders that are malformed: one sentence comes of each, or exactly the adapter that is in the file.

`make soak` tries at least 2,000 (QWEFT_MALFORMED); here it is a few.
"""

import copy
import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save

from qweft.core.errors import QweftError
from qweft.evaluation.record import model_of
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.adapter.test_method import small
from tests.tiny_folder import save_tiny_model

BASE, EMBEDDINGS = "base_model.model.", {"lm_head.weight", "model.embed_tokens.weight"}
CONFIG, FILE = "adapter_config.json", "adapter_model.safetensors"
EXTRA = (
    "surprise", "base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight",
    "base_model.model.model.norm.weight", "base_model.model.model.layers.0.self_attn.q_proj.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
)  # fmt: skip
"""Keys of weights that are no adapter's."""
TYPES = (torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool, torch.complex64)


TRIES = settings(max_examples=int(os.environ.get("QWEFT_MALFORMED", "25")), deadline=None, derandomize=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**400, "../../etc", "x" * 5000, "\x1b[2J", "a\x00b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The base model, which every case leaves as it was."""
    model = save_tiny_model(tmp_path_factory.mktemp("malformed") / "model")
    return load_model(ModelConfig(model, dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def folder(loaded, tmp_path_factory):
    """A saved adapter, and the model's config beside it."""
    tmp_path = tmp_path_factory.mktemp("adapters")
    config = small("qtha", target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_weights=False)
    model = get_peft_model(copy.deepcopy(loaded.model), config)
    model.save_pretrained(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "case")
    return tmp_path


def opened(loaded, case):
    """The adapter of a folder on the model, as all commands that take one open it; what it holds, and what its file."""
    model_of(case, {})
    on = replace(loaded, model=copy.deepcopy(loaded.model))
    try:
        model = put_on(on, case)
    finally:
        after = {key.replace(".base_layer.", "."): tensor for key, tensor in on.model.state_dict().items()}
        changed = {key for key, tensor in loaded.model.state_dict().items() if not torch.equal(tensor, after[key])}
        assert changed <= EMBEDDINGS, changed  # which PEFT saves after a resize of the vocabulary
    held = get_peft_model_state_dict(model)
    embeddings = {f"{BASE}{key}": model.state_dict()[f"{BASE}{key}"] for key in EMBEDDINGS}
    given = load_file(case / FILE)
    return held | {key: tensor for key, tensor in embeddings.items() if key in given}, given


def check_held(what, found):
    """See that the model held exactly what is in the file, and that all of it is numbers."""
    held, given = found
    assert held.keys() == given.keys(), (what, held.keys() ^ given.keys())
    for key, tensor in held.items():
        assert given[key].is_floating_point() and torch.isfinite(given[key]).all(), (what, key)
        assert torch.equal(tensor, given[key].to(tensor.dtype)), (what, key)


def check(loaded, folder, name, content):
    """See that a folder with this file ends in one sentence, or in the adapter that it holds."""
    whole = (folder / "whole" / name).read_bytes()
    (folder / "case" / name).write_bytes(content)
    try:
        check_held(content[:1500], opened(loaded, folder / "case"))
    except QweftError as error:
        assert str(error).strip() and "Traceback" not in str(error) and len(str(error)) <= 2000
    finally:
        (folder / "case" / name).write_bytes(whole)


def damaged(draw, content):
    """Return bytes of which some are gone or others, or the end is missing."""
    place = draw(st.integers(0, len(content)))
    return content[:place] + draw(st.just(b"") | st.binary(max_size=4).map(lambda new: new + content[place + 2 :]))


@TRIES
@given(st.data())
def test_mutated_adapter_configs(loaded, folder, data):
    config = json.loads((folder / "whole" / CONFIG).read_text())
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=3, unique=True)):
        value = config.pop(key)
        if (how := data.draw(st.sampled_from(("gone", "other", "wrapped", "renamed")))) != "gone":
            new = {"other": data.draw(VALUES), "wrapped": [value]}.get(how, value)
            config[key if how != "renamed" else data.draw(st.text(max_size=9))] = new
    content = json.dumps(config).encode()
    check(loaded, folder, CONFIG, damaged(data.draw, content) if data.draw(st.integers(0, 3)) == 0 else content)


def edited(draw, tensors):
    """Tensors of which one or more are gone, renamed, of another type or shape, empty, or no numbers."""
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    for how in draw(st.lists(st.integers(0, 7), min_size=1, max_size=3)):
        key = draw(st.sampled_from(sorted(tensors)))
        tensor = tensors[key]
        if how == 0:
            del tensors[key]
        elif how == 1:
            tensors[key + draw(st.text(min_size=1, max_size=3))] = tensors.pop(key)
        elif how == 2:
            tensors[key] = tensor.to(draw(st.sampled_from(TYPES)))
        elif how == 3:
            tensors[key] = torch.zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
        elif how == 4:
            tensors[key] = tensor.flatten()
        elif how == 5:
            tensors[key] = tensor.mT.contiguous() if tensor.ndim > 1 else tensor[None]
        elif how == 6 and tensor.is_floating_point() and tensor.numel():
            tensor.view(-1)[draw(st.integers(0, tensor.numel() - 1))] = draw(st.sampled_from([torch.nan, torch.inf]))
        else:
            tensors[draw(st.sampled_from(EXTRA))] = torch.zeros(315, 20) if draw(st.booleans()) else tensor.clone()
        if not tensors:
            break
    return tensors


@TRIES
@given(st.data())
def test_mutated_adapter_files(loaded, folder, data):
    whole = (folder / "whole" / FILE).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    if data.draw(st.booleans()):
        content = save(edited(data.draw, load_file(folder / "whole" / FILE)))
    elif data.draw(st.booleans()):
        content = damaged(data.draw, whole[:header]) + whole[header:]
    else:
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    check(loaded, folder, FILE, content)
