"""QWTHN as a method of PEFT: zero start, gradients, files, several adapters, merging."""

import json
import subprocess
import sys

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

import qweft
from qweft import QweftError, QwthnConfig
from qweft.adapter import QwthnLinear
from qweft.adapter.branch import count_parameters
from tests.tiny_models import tiny_gpt2, tiny_llama

PRESETS = list(qweft.presets())
TOKENS = torch.arange(24).view(2, 12)


def small(preset, **changes):
    return QwthnConfig.preset(preset, **{"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2, **changes})


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def trained(model, steps=3):
    """A few steps of plain training, so that no part of the adapter is at its start."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.002)
    for _ in range(steps):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("start", ["recorded", "scaled"])
@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_start_leaves_the_base_model_as_it_is_bit_for_bit(preset, make, start):
    base = make()
    before = logits(base)
    model = get_peft_model(base, small(preset, start=start)).eval()
    assert any(isinstance(module, QwthnLinear) for module in model.modules())
    assert torch.equal(logits(model), before)
    random = get_peft_model(make(), small(preset, start=start, init_weights=False)).eval()
    assert not torch.equal(logits(random), before)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_moves_and_the_loss_falls(preset, make):
    model = get_peft_model(make(), small(preset))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = model(input_ids=TOKENS, labels=TOKENS).loss.item()
    trained(model, steps=8)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("qwthn_" in name)
        assert torch.equal(parameter, start[name]) != parameter.requires_grad, name
    assert model(input_ids=TOKENS, labels=TOKENS).loss.item() < first


@pytest.mark.parametrize("preset", PRESETS)
def test_the_count_from_shapes_is_the_number_of_trained_parameters(preset):
    config = small(preset, rank_pattern={"v_proj": 2})
    model = get_peft_model(tiny_llama(), config)
    counted = sum(
        sum(count_parameters(config, layer.in_features, layer.out_features, layer.qwthn_r["default"]).values())
        for layer in model.modules()
        if isinstance(layer, QwthnLinear)
    )
    assert counted == model.get_nb_trainable_parameters()[0] > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_saved_and_loaded_under_another_name_in_a_model_of_another_seed(tmp_path, preset):
    model = trained(get_peft_model(tiny_llama(), small(preset)))
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    keys = load_file(tmp_path / "adapter_model.safetensors")
    assert keys and all(".default" not in key and "qwthn_" in key for key in keys)
    fixed = {"subspace": (".weight",), "sparse": (".weight",), "readout": ("qwthn_compress.weight",)}.get(preset, ())
    directions = [key for key in keys if key.endswith(fixed)]
    assert all(t.dtype == (torch.uint8 if key in directions else torch.float32) for key, t in keys.items())
    torch.manual_seed(99)
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path, adapter_name="other").eval()
    assert torch.equal(logits(again), logits(model))


def test_a_fresh_process_with_another_seed_gives_equal_outputs(tmp_path):
    model = trained(get_peft_model(tiny_llama(), small("qtha")))
    model.save_pretrained(tmp_path / "adapter")
    torch.save(logits(model), tmp_path / "logits.pt")
    program = (
        "import sys, torch, qweft; from peft import PeftModel; from tests.tiny_models import tiny_llama\n"
        "base = tiny_llama(); torch.manual_seed(1234); path = sys.argv[1]\n"
        "model = PeftModel.from_pretrained(base, path + '/adapter').eval()\n"
        "with torch.no_grad(): found = model(torch.arange(24).view(2, 12)).logits\n"
        "sys.exit(0 if torch.equal(found, torch.load(path + '/logits.pt')) else 1)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=600)


def change_file(folder, change):
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: dict(list(found.items())[1:]), "1 tensors are missing"),
        (lambda found: {key.replace("qwthn_", "other_"): t for key, t in found.items()}, "missing.*not known"),
        (lambda found: {**found, "surprise": torch.ones(1)}, r"1 are not known \(first: surprise\)"),
        (lambda found: {key: t[:0] if "angles" in key else t for key, t in found.items()}, "empty tensors"),
        (lambda found: {key: torch.ones(7) if "angles" in key else t for key, t in found.items()}, "size mismatch"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, message):
    get_peft_model(tiny_llama(), small("qtha")).save_pretrained(tmp_path)
    change_file(tmp_path, change)
    with pytest.raises((ValueError, RuntimeError), match=message):
        PeftModel.from_pretrained(tiny_llama(), tmp_path)


def test_adapters_whose_names_contain_each_other(tmp_path):
    model = get_peft_model(tiny_llama(), small("qtha"), adapter_name="a")
    model.add_adapter("ab", small("mpo", r=2))
    model.add_adapter("mlp", small("qwthn"))
    outputs = {}
    for name in ("a", "ab", "mlp"):
        model.set_adapter(name)
        outputs[name] = logits(trained(model))
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path / "a", adapter_name="a")
    again.load_adapter(tmp_path / "ab", "ab")
    again.load_adapter(tmp_path / "mlp", "mlp")
    for name in ("a", "ab", "mlp"):
        again.set_adapter(name)
        assert torch.equal(logits(again.eval()), outputs[name])
    again.delete_adapter("a")
    assert not [key for key in again.state_dict() if ".a." in key]
    again.set_adapter("ab")
    assert torch.equal(logits(again), outputs["ab"])
    with again.disable_adapter():
        assert torch.equal(logits(again), logits(tiny_llama()))


def test_each_row_of_a_mixed_batch_has_its_adapter():
    model = get_peft_model(tiny_llama(), small("qtha", init_weights=False), adapter_name="a")
    model.add_adapter("b", small("mpo", init_weights=False))
    model.eval()
    alone = {}
    for name in ("a", "b"):
        model.set_adapter(name)
        alone[name] = logits(model)
    with model.disable_adapter():
        alone["__base__"] = logits(model)
    for names in (["a", "b"], ["b", "__base__"]):
        with torch.no_grad():
            mixed = model(TOKENS, adapter_names=names).logits
        for row, name in enumerate(names):
            torch.testing.assert_close(mixed[row], alone[name][row], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"non-existing adapter\(s\): c"):
        model(TOKENS, adapter_names=["a", "c"])


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("preset", ["mpo", "lora"])
def test_a_branch_without_circuit_merges(preset, make):
    model = trained(get_peft_model(make(), small(preset)))
    wanted = logits(model)
    model.merge_adapter()
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-5)
    model.unmerge_adapter()
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(model.merge_and_unload(safe_merge=True)), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("merge", ["merge_adapter", "merge_and_unload"])
def test_a_merge_that_would_not_be_finite_leaves_every_weight(merge):
    model = get_peft_model(tiny_llama(), small("mpo", init_weights=False, target_modules=["q_proj"])).eval()
    layers = [module for module in model.modules() if isinstance(module, QwthnLinear)]
    kept = [layer.base_layer.weight.clone() for layer in layers]
    for part in layers[-1].qwthn_expand.parameters():
        part.data.fill_(torch.nan)
    words = r"NaNs detected in the merged weights\. The adapter default seems to be broken"
    with pytest.raises(ValueError, match=words):
        getattr(model, merge)(safe_merge=True)
    assert all(torch.equal(layer.base_layer.weight, weight) for layer, weight in zip(layers, kept, strict=True))


def test_an_adapter_is_not_loaded_over_a_merged_one(tmp_path):
    """Unmerging would take off the new one, which was never added."""
    model = get_peft_model(tiny_llama(), small("mpo", init_weights=False, target_modules=["q_proj"])).eval()
    wanted = logits(model)
    model.save_pretrained(tmp_path)
    model.merge_adapter()
    with pytest.raises(QweftError, match="'default' is merged into the base model; call unmerge_adapter"):
        model.load_adapter(str(tmp_path), "default")
    model.unmerge_adapter()
    model.load_adapter(str(tmp_path), "default")
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("targets", [["q_proj"], ["layers.0.self_attn.q_proj"]])
def test_a_weight_of_two_layers_is_not_merged_into(targets):
    """As where layers were repeated: the other layer would get the change, too."""
    base = tiny_llama()
    first, second = base.model.layers
    second.self_attn.q_proj.weight = first.self_attn.q_proj.weight
    model = get_peft_model(base, small("mpo", init_weights=False, target_modules=targets)).eval()
    wanted = logits(model)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match=r"layers\.0\.self_attn\.q_proj shares its weight with model\.layers\.1"):
            merge()
    assert torch.equal(logits(model), wanted)
    base = tiny_llama()
    base.lm_head.weight, base.config.tie_word_embeddings = base.model.embed_tokens.weight, True
    model = get_peft_model(base, small("mpo", target_modules=["lm_head"], trainable_token_indices=[3]))
    with pytest.raises(ValueError, match="lm_head is also trained by itself"):
        model.merge_adapter()
    base = tiny_llama()
    base.model.layers[1] = base.model.layers[0]  # one layer in two places, with one adapter
    model = get_peft_model(base, small("mpo", init_weights=False)).eval()
    wanted = logits(model)
    torch.testing.assert_close(logits(model.merge_and_unload()), wanted, rtol=0, atol=1e-5)


def test_a_branch_with_a_circuit_says_why_it_does_not_merge():
    model = trained(get_peft_model(tiny_llama(), small("qtha")))
    before = logits(model)
    with pytest.raises(NotImplementedError, match=r"quantum circuit.*unload\(\)"):
        model.merge_adapter()
    assert torch.equal(logits(model), before)
    assert torch.equal(logits(model.unload()), logits(tiny_llama()))


def test_modules_to_save_are_trained_and_come_back(tmp_path):
    model = trained(get_peft_model(tiny_llama(), small("qtha", modules_to_save=["lm_head"])))
    assert not torch.equal(model.base_model.model.lm_head.weight, tiny_llama().lm_head.weight)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_llama(), tmp_path)), logits(model))


def test_transformers_own_adapter_calls(tmp_path):
    model = tiny_llama()
    model.add_adapter(small("qtha", init_weights=False, target_modules=["q_proj"]))
    wanted = logits(model)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "QWTHN"
    again = tiny_llama()
    again.load_adapter(str(tmp_path))
    assert torch.equal(logits(again), wanted)
    again.disable_adapters()
    assert torch.equal(logits(again), logits(tiny_llama()))


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(reentrant):
    gradients = []
    for checkpointing in (False, True):
        model = get_peft_model(tiny_llama(), small("qtha", init_weights=False))
        torch.manual_seed(5)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter)
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(plain, again)


def test_bfloat16_base_with_float32_adapter():
    base = tiny_llama().bfloat16()
    before = logits(base)
    model = get_peft_model(base, small("qtha")).eval()
    assert torch.equal(logits(model), before)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    model = trained(model)
    assert logits(model).dtype == torch.bfloat16
    assert torch.isfinite(logits(model)).all()
