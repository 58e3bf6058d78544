"""Another package's adapter in a comparison: put on, trained, saved, taken off; or a sentence."""

import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qweft.comparison.adapters import put_on, take_off, trained
from qweft.comparison.sizes import count, matched
from qweft.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.models.load import checksum
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from qweft.training.run import save_adapter
from tests.comparison.test_peft_methods import meta_llama, rows
from tests.tiny_models import tiny_llama

SPECIFICATION = {"rival": "quantum-adapter", "rank": 2, "depth": 2, "target_modules": ["q_proj", "v_proj"]}


class Layer(nn.Module):
    """Stands in for the package's layer: a bottleneck that starts at zero, `depth` wide."""

    def __init__(self, base, depth):
        super().__init__()
        self.base = base
        device = base.weight.device
        self.down = nn.Parameter(torch.randn(depth, base.in_features, device=device))
        self.up = nn.Parameter(torch.zeros(base.out_features, depth, device=device))

    def forward(self, x):
        return self.base(x) + x @ self.down.T @ self.up.T


class Adapted(nn.Module):
    """Stands in for the package's wrapper."""

    def __init__(self, base_model):
        super().__init__()
        self.base_model = base_model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_model"), name)

    def forward(self, input_ids=None, attention_mask=None, labels=None, **more):
        return self.base_model(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **more)

    def adapter_layers(self):
        return [(name, module) for name, module in self.base_model.named_modules() if isinstance(module, Layer)]

    def save_pretrained(self, folder):
        (folder / "adapter_config.json").write_text("{}")


def stand_in():
    """A module with the two names of the package that are called."""

    def config(target_modules, rank=4, depth=10):
        if depth < 1:
            raise ValueError("depth must be a positive integer")
        return SimpleNamespace(target_modules=target_modules, depth=depth)

    def get_quantum_model(model, config):
        model.requires_grad_(False)
        for name, module in list(model.named_modules()):
            if name.rpartition(".")[2] in config.target_modules:
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, Layer(module, config.depth))
        return Adapted(model)

    return SimpleNamespace(QuantumAdapterConfig=config, get_quantum_model=get_quantum_model)


@pytest.fixture(params=["stand-in", "real"])
def package(request, monkeypatch):
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "quantum_adapter", stand_in())
    elif find_spec("quantum_adapter") is None:
        pytest.skip("quantum-adapter is not installed")


def test_it_goes_through_the_loop_and_leaves_the_base_as_it_was(package, tmp_path):
    model, text = tiny_llama(), rows()
    before, names = checksum(model), list(model.state_dict())
    ids = torch.tensor([text[0]["input_ids"]])
    plain, base_loss = model(ids).logits, held_out_loss(model, text, 0, 4).loss
    adapted = put_on(model, SPECIFICATION, 3)
    assert sum(p.numel() for p in trained(adapted).values()) == count(meta_llama(), SPECIFICATION)
    assert held_out_loss(adapted, text, 0, 4).loss == pytest.approx(base_loss, rel=1e-6)  # it starts at zero
    budget = TrainingConfig(max_steps=3, batch_size=4, gradient_accumulation=1, learning_rate=5e-2)
    assert fit(adapted, text, 0, budget).steps == 3
    assert held_out_loss(adapted, text, 0, 4).loss != pytest.approx(base_loss, rel=1e-6)
    save_adapter(adapted, tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text()) is not None
    base = take_off(adapted, SPECIFICATION)
    assert base is model and checksum(base) == before and list(base.state_dict()) == names
    assert torch.equal(base(ids).logits, plain)


def test_its_depth_is_matched(package):
    sizes = {depth: count(meta_llama(), {**SPECIFICATION, "depth": depth}) for depth in range(1, 12)}
    wanted = sizes[7] + 1
    assert matched(meta_llama(), SPECIFICATION, wanted)["depth"] == 7


def test_what_it_refuses_is_one_sentence(package):
    with pytest.raises(QweftError, match="quantum-adapter refuses its adapter: depth must be a positive integer"):
        put_on(tiny_llama(), {**SPECIFICATION, "depth": 0}, 3)
    with pytest.raises(QweftError, match=r"quantum-adapter refuses its adapter: .*dpth"):
        put_on(tiny_llama(), {**SPECIFICATION, "dpth": 1}, 3)


def test_a_package_that_is_not_installed_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "quantum_adapter", None)
    with pytest.raises(QweftError, match=r"quantum-adapter is not installed .*pip install 'qweft\[rivals\]'"):
        put_on(tiny_llama(), SPECIFICATION, 3)


def test_an_unknown_rival_is_named():
    with pytest.raises(QweftError, match="rival 'quantum_adapter' is not known; did you mean 'quantum-adapter'"):
        put_on(tiny_llama(), {"rival": "quantum_adapter"}, 3)
