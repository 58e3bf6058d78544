"""Folders of base models that are malformed or hostile: one sentence comes of each, or a model; nothing of it runs."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save

from qweft.data.conversation import Message
from qweft.data.template import render
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.hostile import CODE
from tests.malformed.cases import cases, outcome
from tests.malformed.mutations import malformed_json, mutated_bytes
from tests.malformed.test_adapters import edited
from tests.tiny_folder import save_tiny_model

TEMPLATES = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}"
    "{% endfor %}{{ messages[-1]['content'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').mkdir('marker') }}",
    "{{ 'a' * 10**9 }}",
    "{{ messages[-1]['content'] }}{{ 1 // 0 }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include '/etc/passwd' %}",
    "{{ undefined.name }}",
    "{% for",
    "{{ '%s' | format }}",
    "{{ messages[5] }}",
    "\x1b[2J{{ messages[-1]['content'] }}",
)
"""Chat templates that do not end, reach out, fail, or are none."""
MAPS = (
    {"AutoConfig": "code.MarkedConfig", "AutoModelForCausalLM": "code.MarkedForCausalLM"},
    {"AutoTokenizer": ["code.MarkedTokenizer", None]},
    {"AutoTokenizer": [None, "code.MarkedTokenizer"], "AutoConfig": "other/repository--code.MarkedConfig"},
    {"AutoConfig": 3},
    [],
)


@pytest.fixture
def places(tmp_path, tmp_path_factory, monkeypatch):
    """A whole model's folder, and where a marker would appear."""
    monkeypatch.chdir(tmp_path)
    whole = tmp_path_factory.mktemp("whole") / "model"
    save_tiny_model(whole)
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(load_file(whole / WEIGHTS), WEIGHTS)}
    (whole.parent / INDEX).write_text(json.dumps(index))
    return whole, tmp_path


WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
JSONS = ("config.json", "config.json", "config.json", "generation_config.json", "tokenizer.json",
         "tokenizer_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")  # fmt: skip


def change(folder, whole, draw, marker):
    """Change a file of the folder; what was changed, and its new content."""
    how = draw.random()
    if how < 0.55:
        path = folder / draw.choice(JSONS)
        known = json.loads(path.read_text()) if path.is_file() else {"eos_token": "<|im_end|>", "<a>": 70}
        path.write_bytes(malformed_json(known, draw))
    elif how < 0.65:
        path = folder / draw.choice(("config.json", "tokenizer_config.json"))
        known = json.loads(path.read_text())
        known["auto_map"] = draw.choice(MAPS)
        if draw.random() < 0.5:
            known |= draw.choice(({"model_type": "marked"}, {"tokenizer_class": "MarkedTokenizer"},
                                  {"custom_generate": "code"}))  # fmt: skip
        path.write_text(json.dumps(known))
        for name in ("code.py", "custom_generate/generate.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(CODE.format(marker=str(marker)))
    elif how < 0.75:
        path = folder / "chat_template.jinja"
        text = draw.choice((*TEMPLATES, path.read_text()))
        path.write_bytes(mutated_bytes(text.encode(), draw) if draw.random() < 0.5 else text.encode())
    elif how < 0.82:
        path = folder / INDEX
        path.write_bytes(malformed_json(json.loads((whole.parent / INDEX).read_text()), draw))
        if draw.random() < 0.7:
            (folder / WEIGHTS).rename(folder / draw.choice((WEIGHTS, "model-00001-of-00001.safetensors")))
    else:
        path = folder / WEIGHTS
        content = path.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        if draw.random() < 0.4:
            path.write_bytes(save(edited(load_file(path), draw)))
        else:
            path.write_bytes(mutated_bytes(content[:header], draw) + content[header:])
    return f"{path.name}: {path.read_bytes() if path.is_file() else None!r:.3000}"


def used(folder):
    """Load a model, write a conversation with its template, and let it predict a token."""
    found = load_model(ModelConfig(str(folder), dtype="float32", device="cpu"))
    text = render([Message("user", "How many?")], found.tokenizer, answer_next=True)
    ids = found.tokenizer(text, add_special_tokens=False).input_ids
    assert all(isinstance(each, int) for each in ids) and isinstance(text, str)
    return found


def test_mutated_folders_of_models(places):
    whole, here = places
    marker, folder = here / "marker", here / "model"
    for number, draw in cases("models"):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        what = f"model {number}, {change(folder, whole, draw, marker)}"
        found = outcome(what, used, folder)
        if found is not None:
            assert all(torch.isfinite(each).all() for each in found.model.parameters() if each.is_floating_point()) or (
                "model.safetensors" in what
            )
        assert not marker.exists(), what
