"""What the benchmarks compute by themselves; what they time is their own business."""

import pytest
import torch
from benchmarks import contraction, growth, report

from qweft.tensornet import core_shapes, left_multiply


def test_the_multiplications_of_a_contraction_are_counted_as_they_are_made():
    shapes = core_shapes((2, 3, 2), (4, 2, 5), bond=3)
    cores = [torch.randn(shape) for shape in shapes]
    made = 0

    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal made
            if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm):
                made += args[0].numel() * args[1].shape[-1]
            return function(*args, **(kwargs or {}))

    with Counting():
        left_multiply(torch.randn(7, 12), cores)
    assert made == contraction.contraction_multiplications(7, shapes) > 0


def test_contracting_all_operators_of_a_7b_model_costs_less_than_two_percent():
    assert 0 < contraction.computed()["share"] < 0.02


def test_an_exponent_is_the_slope():
    assert growth.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


def test_a_missed_target_is_said():
    step = {"vs_lora": 1.2, "memory_vs_lora": 1.01}
    circuit = {"speedup_vs_fastest": 9.0, "fastest": "other", "memory_ratio": 0.01, "tokens": 512}
    summary = {
        "circuit": dict.fromkeys(("n4", "n6", "n8", "n10"), circuit),
        "step": {"r4_L4": step, "r8_L8": step},
        "generation": {"vs_lora": 0.95},
        "contraction_7b": {"computed_share": 0.001, "measured_share": 0.001},
    }
    lines = report.verdicts(summary).splitlines()
    missed = [line.split(",")[0] for line in lines if line.startswith("MISSED")]
    assert missed == ["MISSED circuit n4", "MISSED circuit n6", "MISSED training step r4_L4"]
