"""Maps into a fixed subspace: a linear map between its directions and r is trained; any core stands in the middle."""

import pytest
import torch
from peft import get_peft_model

from qweft import QwthnConfig, find_bases
from qweft.adapter.branch import count_parameters
from qweft.method.names import CORES
from tests.adapter.test_bases import BATCH, layers_of, trained
from tests.tiny_models import tiny_llama


def config(core="identity", **changes):
    given = {"compress": "subspace", "core": core, "expand": "subspace", "r": 2, "width": 6, "circuit_layers": 1}
    return QwthnConfig(**given | {"target_modules": ["q_proj", "v_proj", "down_proj"]} | changes)


def adapted(core="identity", make=tiny_llama, found=True, **changes):
    model = get_peft_model(make(), config(core, **changes))
    if found:
        find_bases(model, [BATCH])
    return model


@pytest.mark.parametrize("start", ["recorded", "scaled"])
@pytest.mark.parametrize("core", CORES)
def test_any_core_starts_as_the_base_model_and_all_of_it_is_trained(core, start):
    base = tiny_llama()(**BATCH)
    model = adapted(core, start=start)
    with torch.no_grad():
        assert torch.equal(model(**BATCH).logits, base.logits)
    first = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: b.clone() for name, b in model.named_buffers() if "qwthn_" in name}
    assert trained(model)(**BATCH).loss.item() < base.loss.item()
    assert not [name for name, p in model.named_parameters() if name in first and torch.equal(p, first[name])]
    assert all(torch.equal(b, fixed[name]) for name, b in model.named_buffers() if name in fixed)
    for layer in layers_of(model).values():
        counted = count_parameters(config(core), layer.in_features, layer.out_features)
        own = sum(p.numel() for part in layer.branch_of("default") for p in part.parameters())
        assert sum(counted.values()) == own


def test_the_matrices_are_the_linear_map_in_the_leading_directions_of_the_gradient():
    model = adapted(init_weights=True)
    base = tiny_llama().requires_grad_()
    base(**BATCH).loss.backward()
    for name, layer in layers_of(model).items():
        gradient = base.get_submodule(name.removeprefix("base_model.model.")).weight.grad
        left, _, right = torch.linalg.svd(gradient, full_matrices=False)
        branch = layer.branch_of("default")
        width = min(6, layer.in_features, layer.out_features)
        assert branch.compress.weight.shape == (width, layer.in_features)
        assert branch.expand.weight.shape == (layer.out_features, width)
        into, out = branch.compress.weight.float(), branch.expand.weight.float()  # of bfloat16
        torch.testing.assert_close(into.T @ into, right[:width].T @ right[:width], atol=5e-3, rtol=0)
        torch.testing.assert_close(out @ out.T, left[:, :width] @ left[:, :width].T, atol=5e-3, rtol=0)
        torch.testing.assert_close(branch.compress.matrix(), branch.compress.linear_weight @ into)
        assert not branch.expand.matrix().any()
