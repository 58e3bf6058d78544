"""An adapter's files: strict on every path that loads them, and safe."""

import json
import re
import sys

import huggingface_hub
import pytest
import torch
from peft import (
    AutoPeftModelForCausalLM,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from qweft import QweftError, QwthnConfig
from tests.adapter.test_method import logits, small, trained
from tests.tiny_models import tiny_llama

FILE = "adapter_model.safetensors"
BASE_WEIGHT = "base_model.model.model.layers.0.mlp.gate_proj.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A base model's folder, and the folder of an adapter on it with a trained head; do not change them."""
    root = tmp_path_factory.mktemp("saved")
    tiny_llama().save_pretrained(root / "base")
    base = AutoModelForCausalLM.from_pretrained(root / "base")
    model = trained(get_peft_model(base, small("qtha", modules_to_save=["lm_head"], task_type="CAUSAL_LM")))
    model.save_pretrained(root / "adapter")
    return root, logits(model)


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the adapter's folder."""
    for path in (saved[0] / "adapter").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def with_state_dict(base, folder):
    model = get_peft_model(base, PeftConfig.from_pretrained(folder))
    set_peft_model_state_dict(model, load_file(folder / FILE))
    return model


def with_transformers(base, folder):
    base.load_adapter(str(folder))
    return base


def with_a_state_dict_of_transformers(base, folder):
    base.load_adapter(peft_config=PeftConfig.from_pretrained(folder), adapter_state_dict=load_file(folder / FILE))
    return base


def with_a_further_adapter(base, folder):
    model = get_peft_model(base, small("mpo", target_modules=["k_proj"]), adapter_name="first")
    model.load_adapter(folder, "second")
    model.set_adapter("second")
    return model


def into_an_adapter_that_is_there(base, folder):
    model = get_peft_model(base, PeftConfig.from_pretrained(folder))
    model.load_adapter(folder, "default")
    return model


def with_auto_peft(base, folder):
    return AutoPeftModelForCausalLM.from_pretrained(folder)


def with_auto_model(base, folder):
    return AutoModelForCausalLM.from_pretrained(folder)


ON_A_MODEL = [PeftModel.from_pretrained, with_transformers, with_a_further_adapter, into_an_adapter_that_is_there]
BY_ITSELF = [with_auto_peft, with_auto_model]
IN_MEMORY = [with_state_dict, with_a_state_dict_of_transformers]


def change(folder, edit):
    save_file(edit(load_file(folder / FILE)), folder / FILE)


def change_config(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("load", ON_A_MODEL + BY_ITSELF + IN_MEMORY)
def test_every_path_loads_the_adapter_and_the_trained_head(saved, folder, load):
    assert torch.equal(logits(load(tiny_llama(), folder).eval()), saved[1])
    assert not torch.equal(saved[1], logits(tiny_llama()))


BAD_FILES = {
    "missing": (lambda found: {k: t for k, t in found.items() if "0.self_attn.q_proj.qwthn_core" not in k}, "missing"),
    "renamed": (lambda found: {k.replace("qwthn_", "other_"): t for k, t in found.items()}, "missing.*not known"),
    "unknown": (lambda found: {**found, "surprise": torch.ones(1)}, r"1 are not known \(first: surprise\)"),
    "empty": (lambda found: {k: t[:0] if "angles" in k else t for k, t in found.items()}, "size mismatch"),
    "shape": (
        lambda found: {k: torch.ones(7) if "angles" in k else t for k, t in found.items()},
        r"size mismatch.*layers\.0\.self_attn\.q_proj\.qwthn_core\.angles is .* there",
    ),
    "whole numbers": (
        lambda found: {k: t.long() if "angles" in k else t for k, t in found.items()},
        r"layers\.0\.self_attn\.q_proj\.qwthn_core\.angles is .* \(whole\) there",
    ),
    "base": (lambda found: {**found, BASE_WEIGHT: torch.ones(44, 20)}, "1 are not known.*gate_proj"),
}


@pytest.mark.parametrize(
    ("load", "fault"),
    [(PeftModel.from_pretrained, fault) for fault in BAD_FILES]
    + [(load, fault) for load in ON_A_MODEL[1:] + BY_ITSELF + IN_MEMORY for fault in ("missing", "shape")],
)
def test_a_file_that_does_not_fit_is_refused_on_every_path(folder, load, fault):
    edit, message = BAD_FILES[fault]
    change(folder, edit)
    with pytest.raises(QweftError, match=message):
        load(tiny_llama(), folder)


@pytest.mark.parametrize("load", ON_A_MODEL + BY_ITSELF)
def test_numbers_that_are_none_are_refused(folder, load):
    def edit(found):
        key = next(key for key in found if key.endswith("angles"))
        found[key][3] = float("nan")
        return found

    change(folder, edit)
    with pytest.raises(QweftError, match=r"numbers that are none \(NaN or infinite, first in .*angles\)"):
        load(tiny_llama(), folder)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def plant_pickle(folder, marker):
    torch.save({"bomb": Bomb(marker)}, folder / "adapter_model.bin")


@pytest.mark.parametrize("load", ON_A_MODEL + BY_ITSELF)
def test_a_pickle_is_refused_and_not_opened(folder, load, monkeypatch):
    plant_pickle(folder, folder / "marker")
    (folder / FILE).unlink()
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was opened"))
    with pytest.raises(QweftError, match=r"adapter_model\.bin, a pickle.*save it again as adapter_model\.safetensors"):
        load(tiny_llama(), folder)
    assert not (folder / "marker").exists()


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", None], ids=["none", "garbage", "huge", "cut"]
)
def test_a_broken_file_is_named(folder, content):
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(QweftError, match=rf"{re.escape(str(folder / FILE))} cannot be read as safetensors"):
        PeftModel.from_pretrained(tiny_llama(), folder)


def hub_cache(root, name, files):
    """A cache folder as huggingface_hub lays it out, with one revision."""
    repo = root / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    for path in files:
        (snapshot / path.name).write_bytes(path.read_bytes())
    return snapshot


@pytest.mark.parametrize("load", [PeftModel.from_pretrained, with_transformers])
def test_a_hub_id_is_read_from_the_cache_and_its_pickle_is_not(saved, folder, tmp_path, load, monkeypatch):
    cache = tmp_path / "cache"
    for module in list(sys.modules.values()):  # copies of the constant, made at import
        if getattr(module, "__name__", "").startswith(("huggingface_hub", "transformers.utils.hub")):
            for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
                if isinstance(getattr(module, name, None), str):
                    monkeypatch.setattr(module, name, str(cache))
    assert str(cache) == huggingface_hub.constants.HF_HUB_CACHE
    snapshot = hub_cache(cache, "someone/adapter", [folder / FILE, folder / "adapter_config.json"])
    assert torch.equal(logits(load(tiny_llama(), "someone/adapter").eval()), saved[1])
    (snapshot / FILE).unlink()
    plant_pickle(snapshot, tmp_path / "marker")
    with pytest.raises(QweftError, match=r"adapter_model\.safetensors of someone/adapter is not in the cache"):
        load(tiny_llama(), "someone/adapter")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 2.5}, "r must be a whole number of at least 1, got 2.5"),
        ({"circuit_layers": 10**9}, "circuit_layers must be at most 1024"),
        ({"modes": {"20": [10**4, 10**4, 10, 10]}}, "modes .* pad size 20 far beyond it"),
    ],
)
def test_a_config_with_a_wrong_value_is_refused(folder, changes, message):
    change_config(folder, **changes)
    for load in (QwthnConfig.from_pretrained, PeftConfig.from_pretrained):
        with pytest.raises(QweftError, match=message):
            load(folder)


HUGE = [{"r": 10**9, "core": "linear"}, {"bond_dimension": 10**9}]


@pytest.mark.parametrize("changes", HUGE)
def test_an_absurd_size_is_refused_before_memory_is_taken(folder, changes, monkeypatch):
    change_config(folder, **changes)
    allocated = []
    zeros = torch.zeros

    def counted(*sizes, **how):
        made = zeros(*sizes, **how)
        allocated.append(made) if not made.is_meta else None
        return made

    monkeypatch.setattr(torch, "zeros", counted)
    base = tiny_llama()
    with pytest.raises(QweftError, match="must be at most"):
        PeftModel.from_pretrained(base, folder)
    assert not allocated
    assert list(base.state_dict()) == list(tiny_llama().state_dict())


def test_a_file_of_another_structure_is_not_loaded_over_an_adapter(tmp_path):
    """Shapes alone do not tell once-uploaded circuits from others."""
    get_peft_model(tiny_llama(), small("qtha", dropout=0.0)).save_pretrained(tmp_path / "a")
    get_peft_model(tiny_llama(), small("qtha", core="quantum", reupload=False)).save_pretrained(tmp_path / "b")
    model = get_peft_model(tiny_llama(), small("qtha", core="quantum"))
    for folder, field in (("a", "core"), ("b", "reupload")):
        with pytest.raises(QweftError, match=f"{field} is .* there and .* here"):
            model.load_adapter(tmp_path / folder, "default")
        with pytest.raises(QweftError, match=f"{field} is .* there and .* here"):
            PeftModel.from_pretrained(tiny_llama(), tmp_path / folder, config=model.peft_config["default"])


@pytest.mark.parametrize(
    ("tied", "resized", "changes"),
    [
        (False, True, {"trainable_token_indices": [40, 41]}),
        (True, True, {"trainable_token_indices": [40, 41]}),
        (True, False, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (False, True, {"modules_to_save": ["embed_tokens", "lm_head"]}),
    ],
)
def test_embeddings_and_tokens_load_under_any_name_after_a_change_of_the_vocabulary(tmp_path, tied, resized, changes):
    """PEFT writes the embeddings a second time then, under keys of its own."""

    def base():
        model = tiny_llama(tie_word_embeddings=tied)
        if resized:
            model.resize_token_embeddings(68)
        return model.eval()

    tokens = torch.arange(36, 44)[None]
    model = get_peft_model(base(), small("qtha", init_weights=False, **changes), adapter_name="mine")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "qwthn_" not in name:
                parameter.add_(0.3)
    wanted = model.eval()(tokens).logits
    assert not torch.allclose(wanted, base()(tokens).logits, atol=1e-2)
    model.save_pretrained(tmp_path)
    for name in ("mine", "default", "b"):
        again = PeftModel.from_pretrained(base(), tmp_path / "mine", adapter_name=name)
        torch.testing.assert_close(again.eval()(tokens).logits, wanted)


def test_a_requested_pickle_has_safetensors_beside_it(tmp_path):
    model = trained(get_peft_model(tiny_llama(), small("qtha")))
    model.save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "adapter_model.bin").is_file()
    torch.testing.assert_close(logits(PeftModel.from_pretrained(tiny_llama(), tmp_path)), logits(model))


def test_trained_biases_in_a_file_replace_those_of_a_model_and_are_told():
    base = tiny_llama(attention_bias=True)
    model = trained(get_peft_model(base, small("qtha", bias="all")))
    state = {key: each for key, each in get_peft_model_state_dict(model).items() if "qwthn_" in key or "bias" in key}
    again = get_peft_model(tiny_llama(attention_bias=True), small("qtha"))
    with pytest.warns(UserWarning, match="biases of the base model"):
        set_peft_model_state_dict(again, state)
    torch.testing.assert_close(logits(again), logits(model))
