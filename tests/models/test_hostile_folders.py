"""Folders of base models that reach out, ask for code, or fail late: each gives one sentence, and nothing is read."""

import io
import json
import os
import shutil
import sys

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from qweft.errors import QweftError
from qweft.models import causal, load
from qweft.models.causal import check_config
from qweft.models.config import ModelConfig, allow_remote_code
from qweft.models.embedded import quiet
from qweft.models.load import load_model, load_tokenizer
from qweft.models.resolve import resolve
from tests.hostile import save_marking_model, save_marking_pickle
from tests.tiny_folder import save_tiny_model

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    save_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def refused(folder):
    with pytest.raises(QweftError) as caught:
        load_model(ModelConfig(str(folder), device="cpu"))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 700
    return said


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def index(folder, name):
    (folder / INDEX).write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(load_file(folder / WEIGHTS), name)})
    )
    (folder / WEIGHTS).rename(folder / "elsewhere.safetensors")


@pytest.mark.parametrize(
    "name", ["../other/model.safetensors", "{other}", "/dev/zero", "a/../../x", "x\0y", 5, ["a"], {}]
)
def test_an_index_names_no_file_outside_its_folder(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "other")
    other = str(tmp_path / "other" / WEIGHTS)
    index(folder, name.replace("{other}", other) if isinstance(name, str) else name)
    assert "and weights are files of its folder" in refused(folder)


def test_an_index_names_regular_files(folder):
    index(folder, "pipe.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    assert "a pipe, a socket or a device" in refused(folder)


@pytest.mark.parametrize(
    "asked",
    [
        {"model_type": "hrm_text", "L_cycles": 10**9, "use_cache": False},  # as it reads
        {"model_type": "xlm", "causal": True, "is_decoder": True, "emb_dim": 2, "n_layers": 2, "n_heads": 2,
         "sinusoidal_embeddings": True, "max_position_embeddings": 10**7},  # as it is built
    ],
    ids=["cycles", "positions"],
)  # fmt: skip
def test_a_config_that_keeps_the_model_busy_is_given_up(folder, monkeypatch, asked):
    config = json.loads((folder / "config.json").read_text())
    if asked["model_type"] == "hrm_text":
        small = AutoConfig.for_model(
            "hrm_text", vocab_size=config["vocab_size"], hidden_size=16, intermediate_size=32, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, num_layers_per_stack=1, max_position_embeddings=64,
        )  # fmt: skip
        AutoModelForCausalLM.from_config(small).save_pretrained(folder)
        change(folder / "config.json", **asked)
    else:
        (folder / "config.json").write_text(json.dumps({"vocab_size": config["vocab_size"], **asked}))
    monkeypatch.setattr(load, "PATIENCE", 1.0)
    assert "to build it or its tokenizer, or to read 12 tokens, takes longer than" in refused(folder)


@pytest.mark.parametrize("written", ["[1]", '"bfloat16"', "null", "7"])
def test_a_config_that_is_no_object_is_refused(folder, written):
    (folder / "config.json").write_text(written)
    assert str(folder) in refused(folder)


@pytest.mark.parametrize("types", [
    [[[], 10**13]], [[["global"] * 1000, 10**9]], [[["global"], -(10**18)], [["global"] * 1000, 10**9]],
    [[["global"] * 1000, 10**9, 0]], [["global" * 100, 10**9]],
])  # fmt: skip
def test_a_config_that_lists_too_many_layers_is_refused_unread(folder, types):
    change(folder / "config.json", model_type="gpt_neo", attention_types=types)
    assert "attention_types is" in refused(folder)


def test_a_config_of_a_far_larger_model_than_its_weights_is_refused(folder, monkeypatch):
    """Missing weights would be made at random, until the memory is full."""
    change(folder / "config.json", hidden_size=4096, intermediate_size=32768)
    monkeypatch.delattr(load.CausalLM, "from_pretrained")
    assert "they do not belong together" in refused(folder)


def test_a_tokenizer_that_takes_too_long_is_given_up(folder, monkeypatch):
    def busy(*_, **__):
        while True:
            pass

    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", busy)
    monkeypatch.setattr(load, "PATIENCE", 0.5)
    assert "to build it or its tokenizer" in refused(folder)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_a_model_that_does_not_fit_is_not_called_damaged(folder, monkeypatch, error):
    def full(*_, **__):
        raise error

    for name, at in (("check_outputs", load), ("from_pretrained", load.CausalLM)):
        with monkeypatch.context() as patch:
            patch.setattr(at, name, full)
            said = refused(folder)
        assert "the memory is too small (" in said and "load it with model.quantization" in said and "whole" not in said


def test_shards_in_the_folder_and_links_to_them_are_read(folder, tmp_path):
    index(folder, "one.safetensors")  # the hub's cache keeps its files elsewhere, and links to them
    (folder / "elsewhere.safetensors").rename(tmp_path / "blob")
    (folder / "one.safetensors").symlink_to(tmp_path / "blob")
    assert load_model(ModelConfig(str(folder), device="cpu")).model.config.vocab_size


@pytest.mark.parametrize(
    "keys",
    [
        {"_attn_implementation": "owner/kernel"},
        {"attn_implementation": "paged|owner/kernel@main:name"},
        {"text_config": {"_attn_implementation": {"": "sdpa", "vision_config": "owner/kernel"}}},
        {"_experts_implementation": "owner/kernel"},
    ],
)
def test_a_config_chooses_no_code_of_the_hub(folder, keys):
    change(folder / "config.json", **keys)
    assert "code of the hub that would run" in refused(folder) and "--trust-remote-code" in refused(folder)
    allow_remote_code()
    try:
        check_config(resolve(ModelConfig(str(folder))))
    finally:
        allow_remote_code(False)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"num_labels": 10**9}, "num_labels is 1000000000, and a model has 0 to 1,000,000"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1, and a model has 0 to 10,000"),
        ({"text_config": {"num_hidden_layers": 10**7}}, "num_hidden_layers is 10000000, and a model has 0 to 10,000"),
        ({"decoder_layers": 10**7}, "decoder_layers is 10000000, and a model has 0 to 10,000"),
        ({"transformers_weights": "a/b.safetensors.index.json"}, "and weights are files of its folder"),
        ({"transformers_weights": ["a"]}, "and weights are files of its folder"),
        ({"attribute_map": {"_attn_implementation": "a"}, "a": "owner/kernel"}, "it has an attribute_map"),
        ({"text_config": [{"attribute_map": {}}]}, "it has an attribute_map"),
    ],
)
def test_a_config_that_no_model_can_have(folder, keys, told):
    change(folder / "config.json", **keys)
    assert told in refused(folder)


@pytest.mark.parametrize(
    "asked",
    [
        {"quant_method": "gemma", "module_quant_configs": {"(([a-z_0-9]+)+)+!": {"num_bits": 8}}},
        {"quant_method": "gemma", "modules_to_not_convert": ["lm_head", ".*.*.*.*.*.*!"]},
        {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["(a|aa){2,}!"]},
        {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["(?x:([a-z_.0-9]+) +X)"]},
        {"quant_method": "gemma", "modules_to_not_convert": ["[a-z_.0-9]?" * 40 + "!"]},
        {"quant_method": "gemma", "modules_to_not_convert": [f"{'[a-z_.0-9]?' * 15}!{n}" for n in range(99)]},
        {"quant_method": "gemma", "modules_to_not_convert": ["(?:[a-z]|[a-z_.0-9])" * 40 + "!"]},
    ],
)
@pytest.mark.parametrize("part", ["", "text_config"])
def test_a_quantisation_has_no_slow_expression(folder, asked, part):
    change(
        folder / "config.json", **({part: {"quantization_config": asked}} if part else {"quantization_config": asked})
    )
    assert "an expression that may take hours on all names" in refused(folder)


def test_expressions_of_a_quantisation_that_are_usual_are_taken(folder):
    names = [
        r"re:.*\.layers\.(0|1|2|3|4|5|6|7|8|9|10|11)\.mlp\..*q_proj",
        *[rf"re:.*model\.layers\.[0-9]+\.mlp\.experts\.[0-9]+\.{part}.*" for part in ("up", "down", "gate", "router")],
        *[rf"re:.*layers\.\d+\.{part}\.(q|k|v|o)_proj.*" for part in ("attn", "self_attn", "mixer", "linear_attn")],
        "lm_head",
        "model.layers.0.mlp",
        "re:.*block_sparse_moe\\.experts\\.\\d+\\.(w1|w2|w3).*",
        "re:.*self_attn\\.(q|k|v|o)_proj.*",
        "re:(?:model\\.)?layers\\.[0-9]+.*",
    ]
    change(folder / "config.json", quantization_config={"quant_method": "compressed-tensors", "ignore": names})
    check_config(resolve(ModelConfig(str(folder))))
    texts = {"quant_method": "gptq", "bits": 4, "dataset": ["What is it? (a)* " * 20]}
    change(folder / "config.json", quantization_config=texts)
    change(folder / "config.json", vision_feature_layer=-2, max_window_layers=28)
    check_config(resolve(ModelConfig(str(folder))))


def test_weights_that_were_saved_by_process_are_refused(folder):
    """transformers reads what is there of them, and leaves the rest of each weight as memory was."""
    (folder / WEIGHTS).rename(folder / "shard-00001-model-00002-of-00002.safetensors")
    assert "saved as parts of processes" in refused(folder)


@pytest.mark.parametrize("kind", ["RagTokenizer", "BertTokenizer"])
def test_a_tokenizer_of_another_kind(folder, kind):
    change(folder / "tokenizer_config.json", tokenizer_class=kind)
    assert "its tokenizer cannot be loaded" in refused(folder)


def test_a_pickle_is_refused_without_words_on_how_to_run_it(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    save_marking_pickle(folder / "pytorch_model.bin", tmp_path / "marker")
    said = refused(folder)
    assert "could run code); convert it to safetensors" in said and "weights_only" not in said
    assert not (tmp_path / "marker").exists()


def test_weights_that_the_config_names_are_a_regular_file(folder):
    change(folder / "config.json", transformers_weights="pipe.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    assert "a pipe, a socket or a device" in refused(folder)
    (folder / "pipe.safetensors").unlink()
    change(folder / "config.json", transformers_weights="other.safetensors")
    (folder / WEIGHTS).rename(folder / "other.safetensors")
    (folder / WEIGHTS).symlink_to("gone")
    assert load_model(ModelConfig(str(folder), device="cpu")).model.config.vocab_size


def test_no_adapter_is_put_on_a_base_model_unasked(folder):
    config = {"peft_type": "LORA", "r": 2, "target_modules": "(([a-z._0-9]+)+)+X"}  # which takes hours on a name
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert "an adapter is beside its weights (adapter_config.json)" in refused(folder)


def test_a_kernel_has_no_other_name(folder):
    change(folder / "config.json", _attn_implementation_internal="owner/kernel")
    assert "code of the hub" in refused(folder)


@pytest.mark.parametrize(
    "keys",
    [{"attn_implementation": "flash_attention_2"}, {"text_config": {"_experts_implementation": "sonicmoe"}}],
)
def test_a_short_name_of_a_kernel_is_one_where_it_can_be_fetched(folder, monkeypatch, keys):
    change(folder / "config.json", **keys)
    monkeypatch.setattr(causal, "find_spec", lambda name: name == "kernels" or None)
    assert "code of the hub that would run" in refused(folder)
    monkeypatch.setattr(causal, "find_spec", lambda name: None)
    check_config(resolve(ModelConfig(str(folder))))


TRUE = {"_type": "torch.dtype", "_data": "OutOfMemoryError"}


def called(name, value):
    """What makes torchao call a function of a name with a value."""
    data = {"model": value, "filter_fn": TRUE, "replacement_fn": name}
    return {"_type": "_replace_with_custom_fn_if_matches_filter", "_data": data}


@pytest.mark.parametrize("part", [None, "text_config"])
def test_a_quantisation_runs_no_command(folder, tmp_path, part):
    """torchao calls any name of its modules, and takes any name of torch for a dtype, imports among them."""
    pytest.importorskip("torchao")
    system = called({"_type": "torch.dtype", "_data": "_import_dotted_name"}, "os.system")
    kind = {"default": called(system, f"mkdir {tmp_path / 'marker'}")}
    asked = {"quantization_config": {"quant_method": "torchao", "quant_type": kind}}
    change(folder / "config.json", **(asked if part is None else {part: asked}))
    assert "of torchao, which is no setting of a quantisation" in refused(folder)
    with pytest.raises(QweftError, match="of torchao"):
        load_tokenizer(resolve(ModelConfig(str(folder))))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "node",
    [
        TRUE,
        {"_type": "torch.dtype", "_data": ["float32"]},
        {"_type": "MappingType", "_data": "mro"},
        {"_type": "MappingType", "_data": {"value": 1}},
        {"_type": "Int8WeightOnlyConfig", "_data": {"group_size": [[{"_type": "import_module", "_data": {}}]]}},
        {"_type": ["Int8WeightOnlyConfig"], "_data": {}},
        {"_type": "Path", "_data": "x"},
    ],
)
def test_a_quantisation_names_settings_alone(folder, node):
    pytest.importorskip("torchao")
    change(folder / "config.json", quantization_config={"quant_method": "torchao", "quant_type": {"default": node}})
    assert "of torchao, which is no setting of a quantisation" in refused(folder)


def test_settings_of_a_quantisation_are_taken(folder):
    quantization = pytest.importorskip("torchao.quantization")
    to_dict = pytest.importorskip("torchao.core.config").config_to_dict
    rows = quantization.Float8DynamicActivationFloat8WeightConfig(granularity=quantization.PerRow())
    for kind in (rows, quantization.Int4WeightOnlyConfig(), quantization.Int8WeightOnlyConfig()):
        asked = {"quant_method": "torchao", "quant_type": {"default": to_dict(kind)}}
        change(folder / "config.json", quantization_config=asked)
        check_config(resolve(ModelConfig(str(folder))))


@pytest.mark.parametrize("depth", [200, 450, 900, 100_000])
def test_a_config_that_is_nested_deeply(folder, depth):
    text = (folder / "config.json").read_text().rstrip().removesuffix("}")
    (folder / "config.json").write_text(f'{text}, "x": {"[" * depth}{"]" * depth}}}')
    try:
        load_model(ModelConfig(str(folder), device="meta"))
    except QweftError as error:
        assert "its config cannot be used" in str(error)


@pytest.mark.parametrize(
    "kind", ["AutoModelForCausalLM", "LlamaForCausalLM", "AutoConfig", "AutoProcessor", "utils", "pipeline"]
)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_a_class_that_is_no_tokenizer_is_not_asked_to_load_one(tmp_path, monkeypatch, kind, file):
    """It would load what it is made for, and ask on the terminal whether code may run."""
    save_marking_model(tmp_path / "model", tmp_path / "marker")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\n"))
    change(tmp_path / "model" / "tokenizer_config.json", tokenizer_class=None)
    change(tmp_path / "model" / file, tokenizer_class=kind)
    with pytest.raises(QweftError, match=f"its tokenizer cannot be loaded .tokenizer_class is '{kind}', which is no"):
        load_tokenizer(resolve(ModelConfig(str(tmp_path / "model"))))
    assert not (tmp_path / "marker").exists() and sys.stdin.tell() == 0


def test_nothing_is_asked_on_the_terminal(tmp_path, monkeypatch):
    """Also where a class of transformers does not pass on that code may not run."""
    save_marking_model(tmp_path / "model", tmp_path / "marker")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\n"))
    with quiet(), pytest.raises(ValueError, match="trust_remote_code"):
        AutoConfig.from_pretrained(tmp_path / "model")
    assert not (tmp_path / "marker").exists() and sys.stdin.tell() == 0


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """A file of the user outside of the model's folder, which is in the current folder, too."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = tmp_path / "elsewhere" / "key"
    path.write_text("a secret\n[UNK]\n")
    return path


@pytest.mark.parametrize("key", ["vocab_file", "vocab", "tokenizer_file", "init_inputs"])
@pytest.mark.parametrize("file", ["special_tokens_map.json", "tokenizer_config.json"])
@pytest.mark.parametrize("name", ["{secret}", "key", "../elsewhere/key", "/proc/self/environ", "/dev/zero"])
def test_a_tokenizer_names_no_file_outside_its_folder(folder, secret, key, file, name):
    value = name.replace("{secret}", str(secret))
    change(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    (folder / "special_tokens_map.json").write_text("{}")
    change(folder / file, **{key: [value] if key == "init_inputs" else value})
    said = refused(folder)
    assert f"{key} in its {file} is " in said and f"take {key} out of {file}" in said and "a secret" not in said


@pytest.mark.parametrize(
    "keys",
    [
        {"fast_tokenizer_files": ["tokenizer.json", "../elsewhere/tokenizer.4.0.json"]},
        {"sudachi_kwargs": {"sudachi_config_path": "key"}},
        {"vocab_file": {"content": "/proc/self/environ"}},
    ],
)
def test_names_of_files_are_found_at_any_depth(folder, secret, keys):
    secret.with_name("tokenizer.4.0.json").write_text("{}")
    change(folder / "tokenizer_config.json", **keys)
    assert "a file outside of its folder" in refused(folder)


@pytest.mark.parametrize("file", ["special_tokens_map.json", "tokenizer_config.json"])
def test_a_tokenizer_is_made_of_no_gguf_file_that_its_settings_name(folder, secret, monkeypatch, file):
    """Other keys would say where it lies: in another folder, or in any repository of the hub."""
    asked = []
    monkeypatch.setattr(
        "transformers.tokenization_utils_tokenizers.cached_file", lambda *place, **keys: asked.append(place)
    )
    (folder / "tokenizer.json").unlink()
    (folder / "special_tokens_map.json").write_text("{}")
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    change(folder / file, gguf_file="key", subfolder="../elsewhere", name_or_path=str(secret.parent))
    said = refused(folder)
    assert f"gguf_file in its {file} is 'key'" in said and f"take gguf_file out of {file}" in said and not asked


@pytest.mark.parametrize(
    "keys", [{"name_or_path": "owner/name", "is_local": False}, {"local_files_only": False}, {"cache_dir": "/tmp/x"}]
)
def test_a_map_of_special_tokens_replaces_no_place_of_a_tokenizer(folder, keys):
    """With these keys another repository was asked, with the user's token, into any folder."""
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", **keys}))
    assert f"{next(iter(keys))} in its special_tokens_map.json is" in refused(folder)


def test_settings_of_other_machines_and_texts_are_no_files(folder, secret):
    """Files that were saved by earlier versions name the places of their author's machine."""
    keys = {
        "name_or_path": str(secret),
        "special_tokens_map_file": str(secret),
        "tokenizer_file": "/home/another/.cache/tokenizer.json",
        "vocab_file": "tokenizer.json",
        "additional_special_tokens": ["key", "/", "../elsewhere"],
        "chat_template": "/",
    }
    change(folder / "tokenizer_config.json", **keys)
    assert load_tokenizer(resolve(ModelConfig(str(folder))))


@pytest.mark.parametrize(
    "name",
    ["vocab.txt", "tokenizer.json", "config.json", "generation_config.json", "additional_chat_templates/tool.jinja",
     "additional_chat_templates", "chat_template.jinja", "tokenizer_config.json"],
)  # fmt: skip
def test_a_link_leads_to_nothing_outside_the_folder(folder, tmp_path, name):
    place, elsewhere = folder / name, tmp_path / "elsewhere"
    elsewhere.mkdir()
    place.parent.mkdir(exist_ok=True)
    if place.exists():
        shutil.copy(place, elsewhere / "file")
        place.unlink()
    (elsewhere / "file").touch()
    place.symlink_to(elsewhere if name == "additional_chat_templates" else elsewhere / "file")
    assert f"{place} is a link that leads out of its folder" in refused(folder)


def test_weights_without_a_place_in_the_model_are_told(folder, capsys):
    load_model(ModelConfig(str(folder), device="cpu"))
    assert "note:" not in capsys.readouterr().err
    tensors = load_file(folder / WEIGHTS)
    biases = {f"model.layers.0.self_attn.{name}_proj.bias": torch.ones(16) for name in "qo"}
    save_file({**tensors, **biases}, folder / WEIGHTS, {"format": "pt"})
    load_model(ModelConfig(str(folder), device="cpu"))
    told = " ".join(capsys.readouterr().err.split())
    assert "have 2 tensors that LlamaForCausalLM with their config.json has no place for" in told and "o_proj" in told


def test_weights_that_give_no_numbers_are_refused(folder):
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"][0] = torch.nan
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    assert "its logits are not numbers (NaN) in float32; get its weights anew" in refused(folder)


@pytest.mark.parametrize("key", ["eos_token_id", "pad_token_id"])
@pytest.mark.parametrize("value", [{}, [[1]], ["x", 1], "2", 1.5, 2**70])
def test_a_generation_config_names_tokens(folder, key, value):
    (folder / "generation_config.json").write_text(json.dumps({key: value}))
    said = refused(folder)
    assert f"its generation_config.json has {key}" in said or key == "pad_token_id"  # of which transformers reads more


@pytest.mark.parametrize("value", [None, -1, 3, [2, 3]])
def test_tokens_of_a_generation_config_are_taken(folder, value):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))
    assert load_model(ModelConfig(str(folder), device="cpu"))


def test_links_that_stay_or_lead_to_weights_or_nowhere_are_taken(folder, tmp_path):
    (folder / "tokenizer.json").rename(folder / "own.json")
    (folder / "tokenizer.json").symlink_to("own.json")
    (folder / WEIGHTS).rename(tmp_path / "weights")
    (folder / WEIGHTS).symlink_to(tmp_path / "weights")
    (folder / "vocab.txt").symlink_to(tmp_path / "gone")
    (folder / "runs").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(folder)
    for name in (folder, tmp_path / "linked"):
        assert load_model(ModelConfig(str(name), device="cpu")).tokenizer


def test_a_snapshot_of_a_hub_cache_and_a_folder_of_links_to_it_are_taken(folder, tmp_path, monkeypatch):
    kept = tmp_path / "hub" / "models--a--b"
    snapshot, copy = kept / "snapshots" / "rev", tmp_path / "copy"
    for place in (kept / "blobs", snapshot, copy):
        place.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(kept / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
        (copy / path.name).symlink_to(kept / "blobs" / str(number))
    assert load_model(ModelConfig(str(snapshot), device="cpu")).tokenizer
    assert "leads out of its folder" in refused(copy)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert load_model(ModelConfig(str(copy), device="cpu")).tokenizer
    (kept / "blobs").rename(tmp_path / "blobs")
    (kept / "blobs").symlink_to(tmp_path / "blobs")
    assert "leads out of its folder" in refused(snapshot)
