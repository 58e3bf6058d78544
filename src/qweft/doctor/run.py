"""All checks of `qweft doctor`, and its self-test."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from qweft.doctor.machine import Finding, extras, machine
from qweft.text import progress

GPU = "cuda"
STEPS = 12
ROWS = 8
ADAPTER = {"preset": "qtha", "r": 3, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}


def self_test() -> Iterator[Finding]:
    """Run each part of the self-test; a failure ends it, since later parts build on earlier ones."""
    for name, part in PARTS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # raised by libraries about each other
                with progress(name):
                    said = part()
            yield Finding(name, said)
        except Exception as error:  # report any failure as a finding
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            yield Finding(name, f"{type(error).__name__}: {reason[:300]}", "fault")
            return


def _difference(circuit: Any, case: list[torch.Tensor], ways: list[tuple[Callable[..., torch.Tensor], str]]) -> float:
    """Return how far an engine's values and gradients are apart when computed in two ways, each on a device."""
    results = []
    for compute, device in ways:
        inputs, angles = (tensor.to(device, copy=True).requires_grad_() for tensor in case)
        values = compute(circuit, inputs, angles)
        # of a mean, so that a gradient is not larger than a value
        results.append([values, *torch.autograd.grad(values.square().mean(), [inputs, angles])])
    return max(float((one.cpu() - other.cpu()).detach().abs().max()) for one, other in zip(*results, strict=True))


def _case(circuit: Any, tokens: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, generator=generator, dtype=dtype) for size in ((tokens, 4), (circuit.parameters,))]


def _engine() -> str:
    """Compare the engine's values and gradients with gate-by-gate simulation."""
    from qweft.circuit import crz_ring_ansatz, expectation_values
    from qweft.circuit.reference import gate_by_gate

    circuit = crz_ring_ansatz(4, 2)
    ways = [(expectation_values, "cpu"), (gate_by_gate, "cpu")]
    worst = _difference(circuit, _case(circuit, 32, torch.float64), ways)
    if not worst < 1e-10:
        raise ArithmeticError(f"values or gradients differ by {worst:.1e} from those gate by gate")
    return f"equal to gate by gate, values and gradients, to {worst:.0e}"


def _tiny() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _rows() -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(3, 64, (ROWS, 16), generator=generator).tolist()
    return [{"input_ids": ids, "labels": [-100, *ids[1:]]} for ids in rows]


def _train_save_load() -> str:
    """Train and save an adapter, load it onto a fresh base model, and compare losses."""
    from peft import PeftModel

    from qweft.adapter.attach import adapter_config, attach
    from qweft.evaluation.loss import held_out_loss
    from qweft.training.config import TrainingConfig
    from qweft.training.loop import fit
    from qweft.training.run import save_adapter

    rows = _rows()
    model = attach(_tiny(), adapter_config(ADAPTER))
    before = held_out_loss(model, rows, 0, ROWS).loss
    budget = TrainingConfig(learning_rate=5e-2, max_steps=STEPS, batch_size=ROWS, gradient_accumulation=1)
    fit(model, rows, 0, budget, "self-test")
    after = held_out_loss(model, rows, 0, ROWS).loss
    if not after < before:
        raise ArithmeticError(f"{STEPS} steps took the loss from {before:.4f} to {after:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(model, Path(folder) / "adapter")
        again = PeftModel.from_pretrained(_tiny(), str(Path(folder) / "adapter"))
        loaded = held_out_loss(again, rows, 0, ROWS).loss
    if abs(loaded - after) > 1e-6:
        raise ArithmeticError(f"the loss is {after:.6f} before saving and {loaded:.6f} after loading")
    return f"loss {before:.3f} -> {after:.3f} in {STEPS} steps, and {loaded:.3f} when loaded again"


def _on_gpu() -> str:
    """Compare the engine's values and gradients on the GPU and the CPU, and tell which engine it is."""
    from qweft.circuit import crz_ring_ansatz, engine, expectation_values, fused

    if not torch.cuda.is_available():
        return "left out: no GPU"
    circuit = crz_ring_ansatz(4, 2)
    ways = [(expectation_values, "cpu"), (expectation_values, GPU)]
    worst = _difference(circuit, _case(circuit, 512, torch.float32), ways)
    if not worst < 1e-5:
        raise ArithmeticError(f"values or gradients differ by {worst:.1e} from the CPU's")
    is_fused = engine.kernels_for(circuit.qubits, torch.device(GPU)) is fused
    by = "the fused kernels" if is_fused else "PyTorch's operations, which are slower; the fused kernels need Triton"
    return f"values and gradients equal to the CPU's to {worst:.0e}, by {by}"


PARTS: dict[str, Callable[[], str]] = {
    "circuit engine, exact": _engine,
    "train, save, load": _train_save_load,
    "circuit engine on the GPU": _on_gpu,
}


def findings() -> Iterator[Finding]:
    """Yield what is found of the machine, the extras, and by the self-test."""
    return chain(machine(), extras(), self_test())
