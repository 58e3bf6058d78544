"""What the benchmarks compute by themselves; what they time is their own business."""

from pathlib import Path

import torch
from benchmarks import contraction, report

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


def summary_of(load, step=1.2, spread=0.01):
    """Results of a run with this load beside every part."""
    steps = {"vs_lora": step, "memory_vs_lora": 1.01, "spread": spread}
    circuit = {"speedup_vs_fastest": 9.0, "fastest": "other", "memory_ratio": 0.01, "tokens": 512}
    parts = ("circuit", "step", "generation", "contraction_7b")
    return {
        "circuit": dict.fromkeys(("n4", "n6", "n8", "n10"), circuit),
        "step": dict.fromkeys(("r4_L4", "r8_L8", "all_linear"), steps),
        "generation": {"r8_L8_rows1": {"vs_lora": 0.99, "spread": 0.01}},
        "contraction_7b": {"computed_share": 0.001, "measured_share": 0.001},
        "load": {} if load is None else {part: {"cpu_by_others": load, "load_average": 2.0} for part in parts},
    }


def test_a_missed_target_is_said():
    lines = report.verdicts(summary_of(0.02)).splitlines()
    missed = [line.split(",")[0] for line in lines if line.startswith("MISSED")]
    steps = [f"training step {name}" for name in ("r4_L4", "r8_L8", "all_linear")]
    memory = [f"peak memory {name}" for name in ("r4_L4", "r8_L8", "all_linear")]
    assert sorted(missed) == sorted(
        f"MISSED: {what}" for what in ("circuit n4", "circuit n6", "circuit n8", "circuit n10", *steps, *memory)
    )
    assert sum(line.startswith("met: ") for line in lines) == len(lines) - len(missed)


def test_a_time_beside_other_work_or_within_its_spread_meets_no_target():
    def said(*given, **more):
        verdicts = {what: verdict for what, *_, verdict in report.targets(summary_of(*given, **more))}
        return verdicts["training step r4_L4, times LoRA's"], verdicts["peak memory r4_L4, times LoRA's"]

    assert said(0.02, step=0.95) == ("met", "missed")
    assert said(0.3, step=0.95) == ("not measured alone (others: 30%)", "missed")
    assert said(None, step=0.95) == ("met, load not recorded", "missed")
    assert said(0.02, step=0.99, spread=0.02) == said(0.02, step=1.01, spread=0.02) == ("within its spread", "missed")


def test_the_page_is_that_of_the_saved_results():
    folder = Path(report.__file__).parent
    assert (folder.parent / "docs" / "benchmarks.md").read_text() == report.saved_page()
