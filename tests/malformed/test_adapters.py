"""Adapter folders that are malformed: one sentence comes of each, or exactly the adapter that is in the file."""

import copy
import json
import shutil

import pytest
import torch
from peft import get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save

from qweft.evaluation.saved import model_of, put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.adapter.test_method import small
from tests.malformed.cases import cases, outcome
from tests.malformed.mutations import ODD, misspelt, mutated, mutated_bytes, with_other_numbers

CONFIG, FILE = "adapter_config.json", "adapter_model.safetensors"
JSON_ODD = tuple(value for value in ODD if not isinstance(value, bytes))
TYPES = (
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
)


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
    model = put_on(loaded, case)
    try:
        held = {key: tensor.clone() for key, tensor in get_peft_model_state_dict(model).items()}
    finally:
        model.unload()
        for leftover in ("peft_config", "_hf_peft_config_loaded"):
            vars(loaded.model).pop(leftover, None)
    return held, load_file(case / FILE)


def check_held(what, found):
    """See that the model held exactly what is in the file, and that all of it is numbers."""
    held, given = found
    assert held.keys() == given.keys(), what
    for key, tensor in held.items():
        assert given[key].is_floating_point() and torch.isfinite(given[key]).all(), (what, key)
        assert torch.equal(tensor, given[key].to(tensor.dtype)), (what, key)


def test_a_whole_adapter_is_opened(loaded, folder):
    check_held("whole", opened(loaded, folder / "case"))


def test_mutated_adapter_configs(loaded, folder):
    names = list(loaded.model.state_dict())
    whole = json.loads((folder / "whole" / CONFIG).read_text())
    for number, draw in cases("adapter configs"):
        how = draw.random()
        if how < 0.35:
            content = mutated_bytes(json.dumps(whole).encode(), draw)
        else:
            changed = with_other_numbers(whole, draw) if how < 0.55 else mutated(whole, draw, odd=JSON_ODD)
            content = json.dumps(changed).encode()
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
            tensors[draw.choice(("surprise", "base_model.model.lm_head.weight", key + ".0"))] = tensor.clone()
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
