"""Types of numbers: of the base model, of autocast, and of what a model is moved to."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.circuit.reference import gate_by_gate
from tests.conformance.case import Case, NotApplicable, main_tensor
from tests.conformance.features.registry import feature


def adapters_parameters(model: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if "qwthn_" in name or "lora_" in name]


def assert_near(case: Case, found: torch.Tensor, exact: torch.Tensor) -> None:
    """Nearer to the adapted model in float32 than the base model is, which is where a lost adapter would leave it.

    No bound in digits: random circuits make quite another value of an input that was rounded.
    """
    base = case.output(case.base())
    assert torch.isfinite(found).all()
    assert (found.float() - exact).norm() < 0.6 * (base - exact).norm()


@feature("bfloat16 or float16 base, float32 adapter")
def half_base(case: Case, folder: Path) -> None:
    exact = case.output(case.adapted())
    for dtype in (torch.bfloat16, torch.float16):
        half = replace(case, dtype=dtype)
        assert torch.equal(half.output(half.adapted(init_weights=True)), half.output(half.base()))
        model = half.adapted()
        assert {p.dtype for p in adapters_parameters(model)} == {torch.float32}
        found = half.output(model)
        assert found.dtype == dtype
        assert_near(case, found, exact)
        main_tensor(model.train()(**half.inputs())).float().square().mean().backward()
        assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in adapters_parameters(model))


def check_expectations(case: Case, model: nn.Module, context: Any, digits: float) -> None:
    """A layer's expectation values against the plain simulation, in float64, of its circuit on its own input."""
    layer = [module for module in model.modules() if isinstance(module, QwthnLinear)][-1]
    compress, core, _ = layer.branch_of("default")
    inputs: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    plain = core.function_values
    core.function_values = lambda c, *angles: values.append(plain(c, *angles)) or values[-1]
    with layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0])), context:
        case.output(model)
    matrix = compress.contract([tensor.double() for tensor in compress.tensors()])
    c = inputs[0].double().flatten(0, -2) @ matrix.T
    wanted = gate_by_gate(core.circuit, c, core.angles.double()).view_as(values[0])
    assert wanted.std() > 0.01
    assert values[0].dtype in (torch.float32, torch.float64)
    # an angle c is a sum of products of the size of its input, and so is its rounding
    torch.testing.assert_close(values[0].double(), wanted, rtol=0, atol=digits * max(1.0, c.abs().max().item()))


@feature("circuit in float32 on half-precision bases and under autocast")
def circuit_is_exact(case: Case, folder: Path) -> None:
    if not case.has_circuit:
        raise NotApplicable("no circuit")
    half, bfloat, double = (replace(case, dtype=each) for each in (torch.float16, torch.bfloat16, torch.float64))
    for each, digits in ((half, 2e-6), (bfloat, 2e-6), (double, 1e-13)):
        check_expectations(each, each.adapted(), nullcontext(), digits)
    check_expectations(case, case.adapted(), torch.autocast("cpu", torch.bfloat16), 2e-6)
    check_expectations(bfloat, case.adapted().bfloat16(), nullcontext(), 2e-6)


@feature("autocast to bfloat16")
def autocast(case: Case, folder: Path) -> None:
    model = case.adapted()
    wanted = case.output(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = case.output(model)
        loss = case.loss(model.train())
    assert not torch.equal(found.float(), wanted)
    assert_near(case, found, wanted)
    loss.backward()
    for parameter in adapters_parameters(model):
        assert parameter.grad.dtype == torch.float32
        assert torch.isfinite(parameter.grad).all()


@feature("float64 base")
def float64_base(case: Case, folder: Path) -> None:
    double = replace(case, dtype=torch.float64)
    model = double.adapted()
    found = double.output(model)
    assert found.dtype == torch.float64
    assert {p.dtype for p in adapters_parameters(model)} == {torch.float64}
    torch.testing.assert_close(found.float(), case.output(case.adapted()), rtol=1e-3, atol=1e-3)
    # a layer's derivative against the difference of two outputs: to more digits than float32 has
    layer = [module for module in model.modules() if isinstance(module, BaseTunerLayer)][-1]
    x = torch.linspace(-1, 1, 3 * layer.in_features, dtype=torch.float64).view(3, -1)
    parameter = adapters_parameters(layer)[0]
    (gradient,) = torch.autograd.grad(layer(x).sin().sum(), parameter)
    direction = gradient / gradient.norm()
    found = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            parameter.add_(direction, alpha=step)
            found.append(layer(x).sin().sum())
            parameter.sub_(direction, alpha=step)
    torch.testing.assert_close((found[0] - found[1]) / 2e-6, gradient.norm(), rtol=1e-7, atol=1e-8)


@feature("`.to(bfloat16)`, `.half()` and back")
def moved_between_types(case: Case, folder: Path) -> None:
    model = case.adapted()
    wanted = case.output(model)
    for move, dtype in ((model.half, torch.float16), (model.bfloat16, torch.bfloat16)):
        move()
        assert {p.dtype for p in model.parameters()} == {dtype}
        found = replace(case, dtype=dtype).output(model)
        assert found.dtype == dtype
        assert_near(case, found, wanted)
    # the adapter's rounded numbers, computed with in float32 again
    model.float()
    assert_near(case, case.output(model), wanted)
    assert case.output(model).dtype == torch.float32
