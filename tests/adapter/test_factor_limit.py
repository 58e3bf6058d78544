"""The limit on the factors of C and E: training with absurd steps stays finite, and ordinary training is unchanged."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn

import qweft
from qweft import QwthnConfig
from qweft.adapter.maps import limited
from qweft.method.fields import FACTOR_LIMIT
from qweft.method.presets import PRESETS

INPUTS = torch.arange(90.0).view(9, 10)
ROWS = {
    "first": {"target_modules": ["lin0"]},
    "second": {"target_modules": ["lin1"]},
    "both": {"target_modules": ["lin0", "lin1"]},
    "saved": {"target_modules": ["lin0"], "modules_to_save": ["lin1"]},
}
"""Of the rows of PEFT's `test_parameters_after_loading_model` those on its multilayer perceptron."""


class Perceptron(nn.Module):
    """The `MLP` of PEFT's tests/test_custom_models.py."""

    def __init__(self):
        super().__init__()
        self.lin0, self.lin1 = nn.Linear(10, 20), nn.Linear(20, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.lin1(self.drop(self.lin0(x).relu())).log_softmax(-1)


def trained(config, seed, steps=3):
    """As PEFT's test trains: SGD at a rate of 0.5 on inputs up to 89."""
    torch.manual_seed(seed)
    model = get_peft_model(Perceptron(), config).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        model(INPUTS).sum().backward()
        optimizer.step()
    return model


def is_finite(model):
    return all(parameter.isfinite().all() for parameter in model.parameters())


def of_preset(name, **changes):
    """A config that needs no search for directions."""
    if QwthnConfig.preset(name).has_fixed_map:
        changes |= {"basis": "random", "r": 2}
    return QwthnConfig.preset(name, **changes)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("start", ["recorded", "scaled"])
def test_steps_that_lora_survives_leave_every_number_finite(row, start):
    for seed in range(5):
        assert is_finite(trained(QwthnConfig(**ROWS[row], start=start), seed))
        for name in PRESETS if seed == 0 else ():
            assert is_finite(trained(of_preset(name, **ROWS[row], start=start), seed)), name


@pytest.mark.parametrize("name", PRESETS)
def test_below_the_limit_outputs_and_gradients_are_the_same_bit_for_bit(name):
    found = []
    for limit in (FACTOR_LIMIT, None):
        torch.manual_seed(0)
        config = of_preset(name, **ROWS["both"], init_weights=False, factor_limit=limit, r=2)
        model = get_peft_model(Perceptron(), config).eval()
        y = model(INPUTS / 89)
        y.sum().backward()
        found.append([y, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) > 2
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_above_the_limit_a_tensor_is_scaled_down_and_its_size_has_no_gradient():
    torch.manual_seed(0)
    large = (torch.randn(3, 4, 5, dtype=torch.float64) * 1e3).requires_grad_()
    found = limited(large, 10, dims=2)
    rms = found.square().mean((-2, -1)).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, 10 * (2 / 5) ** 0.5))
    (gradient,) = torch.autograd.grad((found * torch.randn_like(found)).sum(), large)
    along = (gradient * large).sum((-2, -1)) / (gradient.norm(dim=(-2, -1)) * large.norm(dim=(-2, -1)))
    assert along.abs().max() < 1e-12
    assert torch.autograd.gradcheck(lambda given: limited(given, 10, dims=2), large)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4, 1e30])
def test_no_size_overflows(dtype, size):
    if size > torch.finfo(dtype).max:
        return
    given = torch.full((4, 300), size, dtype=dtype, requires_grad=True)
    found = limited(given, 100)
    found.sum().backward()
    assert found.isfinite().all() and given.grad.isfinite().all()
    most = 100 * (2 / 300) ** 0.5
    torch.testing.assert_close(found, torch.full_like(found, min(size, most)), rtol=0.01, atol=0)


def test_weights_that_are_swapped_in_bring_their_limit(tmp_path):
    for name, limit in (("limited", FACTOR_LIMIT), ("free", None)):
        torch.manual_seed(0)
        model = get_peft_model(Perceptron(), QwthnConfig(**ROWS["first"], init_weights=False, factor_limit=limit))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(300 if parameter.dim() == 4 and parameter.requires_grad else 1)
        model.save_pretrained(tmp_path / name)
    torch.manual_seed(0)
    wanted = PeftModel.from_pretrained(Perceptron(), tmp_path / "free").eval()
    torch.manual_seed(0)  # the same base model
    model = PeftModel.from_pretrained(Perceptron(), tmp_path / "limited").eval()
    assert not torch.allclose(model(INPUTS), wanted(INPUTS))
    qweft.hotswap_adapter(model, tmp_path / "free")
    assert torch.equal(model(INPUTS), wanted(INPUTS))
