"""An adapter made into a LoRA: exact where it is linear, near where it is not, and loadable without qweft."""

import subprocess
import sys

import pytest
import torch
from peft import PeftModel, get_peft_model

from qweft import QweftError, QwthnConfig
from qweft.adapter import QwthnLinear
from qweft.exporting.fit import collect
from qweft.exporting.linearise import layers_of, linearise
from qweft.exporting.lora import lora_config, write_lora
from qweft.exporting.measure import replaced
from tests.conformance.families import FAMILIES
from tests.tiny_models import tiny_gpt2, tiny_llama

TOKENS = torch.arange(3, 63).view(5, 12)
SMALL = {"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2, "init_weights": False}


def batches(rows=64, seed=5):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 64, (rows, 10), generator=generator)
    return [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in ids.split(16)]


def adapted(make, preset, **changes):
    torch.manual_seed(3)
    return get_peft_model(make(), QwthnConfig.preset(preset, **{**SMALL, **changes})).eval()


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def written(folder, model, lora):
    """The LoRA as a folder."""
    write_lora(folder, lora, lora_config(lora, model.get_base_model(), model.peft_config["default"]))
    return folder


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("mpo", {}),
        ("lora", {"alpha": 5.0}),
        ("subspace", {}),
        ("readout", {}),
        ("sparse", {}),
        ("mpo", {"compress": "basis", "expand": "basis"}),
        ("mpo", {"core": "identity", "rank_pattern": {"0.*": 2}, "alpha_pattern": {"1.*": 9.0}}),
    ],
)
def test_without_a_circuit_the_lora_equals_the_adapter(tmp_path, make, preset, changes):
    model = adapted(make, preset, **changes)
    lora, notes = linearise(model, [])
    assert not notes
    again = PeftModel.from_pretrained(make(), written(tmp_path, model, lora)).eval()
    assert not any(isinstance(module, QwthnLinear) for module in again.modules())
    torch.testing.assert_close(logits(again), logits(model), rtol=1e-4, atol=1e-5)
    assert (logits(again) - logits(make())).abs().max() > 1e-2


@pytest.mark.parametrize("core", ["quantum_linear", "quantum_gated"])
@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_the_linear_part_beside_a_circuit_is_exact(make, core):
    """With Q = 0 nothing is left of the circuit, and what is fitted to it must not matter."""
    model = adapted(make, "qtha", core=core)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("quantum_weight"):
                parameter.zero_()
    lora, _ = linearise(model, batches())
    expected = logits(model)
    with replaced(model, lora):
        torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", ["qtha", "qwthn", "quantum_lora"])
def test_a_circuit_is_met_better_than_by_its_linear_part_alone(preset):
    """On rows that were not fitted, the branch is nearer to the fit than to what is linear in it anyway."""
    model = adapted(tiny_llama, preset)
    lora, notes = linearise(model, batches(256))
    assert list(notes) == list(layers_of(model))
    fitted, without = 0.0, 0.0
    for name, layer in layers_of(model).items():
        seen, branch = [], layer.branch_of("default")
        hook = layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0].flatten(0, -2)))
        with torch.no_grad():
            for batch in batches(32, seed=6):
                model(**batch)
            hook.remove()
            x, core = torch.cat(seen), branch.core
            c = x @ branch.compress.matrix().T
            wanted = layer.add_branch(torch.zeros(len(x), layer.out_features), x, "default")
            h = c @ core.linear_weight.T if hasattr(core, "linear_weight") else torch.zeros_like(c)
            linear = layer.scaling["default"] * h @ branch.expand.matrix().T
            fitted += float((x @ (lora.up[name] @ lora.down[name]).float().T - wanted).square().sum())
            without += float((linear - wanted).square().sum())
    assert fitted < 0.98 * without


def test_padding_is_not_fitted_where_a_model_flattens_its_rows():
    """OPT does so before its feed-forward layers; the rows of a token are then known by the mask alone."""
    model = FAMILIES["OPT"].make()
    torch.manual_seed(3)
    config = QwthnConfig.preset("qwthn", **{**SMALL, "target_modules": ["fc1"]})
    model = get_peft_model(model, config).eval()
    layers, found = layers_of(model), []
    for filling in (5, 9):
        ids = torch.arange(3, 43).view(4, 10).clone()
        mask = torch.ones_like(ids)
        ids[::2, 6:], mask[::2, 6:] = filling, 0
        found.append(collect(model, layers, [{"input_ids": ids, "attention_mask": mask}]))
    for name in layers:
        even, odd = found[0][name]
        assert (even.tokens, odd.tokens) == (12, 20)
        for one, other in zip(found[0][name], found[1][name], strict=True):
            torch.testing.assert_close(one.xx, other.xx)


def test_more_layers_than_fit_in_memory_take_more_passes(monkeypatch):
    model = adapted(tiny_llama, "qtha")
    once, _ = linearise(model, batches())
    monkeypatch.setattr("qweft.exporting.fit.MEMORY", 1)
    again, _ = linearise(model, batches())
    for name, down in once.down.items():
        torch.testing.assert_close(again.down[name], down)
    assert set(again.down) == set(once.down)


def test_measuring_leaves_nothing_behind_and_a_process_without_qweft_loads_the_folder(tmp_path):
    model = adapted(tiny_llama, "qtha")
    before, state = logits(model), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lora, _ = linearise(model, batches())
    with replaced(model, lora):
        assert not torch.equal(logits(model), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(logits(model), before) and model.active_adapters == ["default"]
    written(tmp_path, model, lora)
    tiny_llama().save_pretrained(tmp_path / "base")
    with replaced(model, lora):
        torch.save(logits(model), tmp_path / "logits.pt")
    program = (
        "import sys; sys.modules['qweft'] = None\n"  # importing it fails from here on
        "import torch; from peft import PeftModel; from transformers import AutoModelForCausalLM\n"
        "path = sys.argv[1]; base = AutoModelForCausalLM.from_pretrained(path + '/base')\n"
        "found = PeftModel.from_pretrained(base, path).eval()(torch.arange(3, 63).view(5, 12)).logits\n"
        "torch.testing.assert_close(found, torch.load(path + '/logits.pt'), rtol=1e-4, atol=1e-5)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=600)


@pytest.mark.parametrize("core", ["quantum", "quantum_linear", "quantum_weighted", "quantum_gated"])
def test_a_circuit_that_reads_some_entries_alone_is_exported(core):
    """Entries of c that no qubit reads pass a weighting as they are."""
    model = adapted(tiny_llama, "qtha", core=core, r=4, qubits=2)
    with pytest.raises(QweftError, match="at least two rows"):
        linearise(model, batches(1))
    lora, fits = linearise(model, batches())
    before = logits(model)
    with model.disable_adapter():
        base = logits(model)
    with replaced(model, lora):
        off = (logits(model) - before).square().mean() / (before - base).square().mean()
    assert len(fits) == len(layers_of(model)) and off < 0.7
