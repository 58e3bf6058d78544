"""All checks of `qweft doctor`: versions, devices, the cache, and a self-test."""

import importlib.metadata
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from packaging.requirements import Requirement

from qweft.core.files import cache_folder
from qweft.core.progress import progress

STEPS = 12
ROWS = 8
ROW_TOKENS = 16
VOCABULARY = 64
GIB = 2**30
IGNORED_LABEL = -100
"""Label of a token that the loss leaves out, as in transformers."""
ADAPTER = {"preset": "qtha", "r": 3, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}


@dataclass(frozen=True)
class Finding:
    """Result of one check in a few words; a "fault" if qweft cannot work here, a "note" if worth knowing."""

    name: str
    said: str
    state: Literal["ok", "note", "fault"] = "ok"


def findings() -> Iterator[Finding]:
    """Yield the findings on the machine and of the self-test, which a failure ends: later parts build on earlier."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield from packages()
    yield from _machine()
    for name, check in SELF_TEST.items():
        try:
            with warnings.catch_warnings(), progress(name):
                warnings.simplefilter("ignore", FutureWarning)  # libraries raise them about each other
                result = check()
        except Exception as error:  # whatever fails here is a finding
            lines = [line for line in str(error).splitlines() if line.strip()]
            reason = lines[0][:300] if lines else ""
            yield Finding(name, f"{type(error).__name__}: {reason}", "fault")
            return
        yield Finding(name, result)


def packages() -> Iterator[Finding]:
    """Yield the installed version of each package that the commands need."""
    for line in importlib.metadata.requires("qweft") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": "workbench"}):
            continue
        name = requirement.name
        way_out = f"pip install '{name}{requirement.specifier}'"
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, f"not installed; {way_out}", "fault")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            yield Finding(name, version)
        else:
            yield Finding(name, f"{version}; {way_out}", "fault")


def _machine() -> Iterator[Finding]:
    """Yield the GPUs, and the room for models."""
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding(f"cuda:{number}", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
    if not torch.cuda.is_available():
        yield Finding("cuda", f"none that PyTorch {torch.__version__} sees; training runs on the CPU", "note")
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    yield Finding("model cache", f"{folder}, {shutil.disk_usage(existing).free / GIB:.1f} GiB free")


def _check_circuits(device: str, dtype: torch.dtype, tolerance: float) -> str:
    """Compare the engine's values and gradients on a device with gate-by-gate simulation in float64."""
    from qweft.circuit import crz_ring_ansatz, expectation_values, gate_by_gate
    from qweft.circuit.cpu import compiled
    from qweft.circuit.gpu import fused

    if device == "cuda" and not torch.cuda.is_available():
        return "left out: no GPU"
    circuit = crz_ring_ansatz(4, 2)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(512, 4, generator=generator, dtype=torch.float64)
    angles = torch.rand(circuit.parameters, generator=generator, dtype=torch.float64)

    def values_and_gradients(compute: Callable[..., torch.Tensor], device: str, dtype: torch.dtype) -> list[Any]:
        leaves = [tensor.to(device, dtype, copy=True).requires_grad_() for tensor in (inputs, angles)]
        values = compute(circuit, *leaves)
        # of a mean, so that a gradient is not larger than a value
        gradients = torch.autograd.grad(values.square().mean(), leaves)
        return [tensor.detach().cpu() for tensor in (values, *gradients)]

    engine = values_and_gradients(expectation_values, device, dtype)
    reference = values_and_gradients(gate_by_gate, "cpu", torch.float64)
    differences = [float((ours - exact).abs().max()) for ours, exact in zip(engine, reference, strict=True)]
    largest = max(differences)
    if not all(difference < tolerance for difference in differences):  # nor is it where one is not a number
        raise ArithmeticError(f"values or gradients differ by {largest:.1e} from those gate by gate")
    is_fast = fused.available(torch.device(device)) if device == "cuda" else compiled.available()
    route = "the compiled kernels" if is_fast else "PyTorch's operations, which are slower"
    return f"equal to gate by gate, values and gradients, to {largest:.0e}, by {route}"


def _tiny_model() -> Any:
    """Return a Llama of two blocks, the same each time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return LlamaForCausalLM(config).eval()


def _check_training() -> str:
    """Train and save an adapter, load it onto a fresh base model, and compare losses."""
    from peft import PeftModel

    from qweft.adapter.attach import adapter_config, attach
    from qweft.evaluation.loss import held_out_loss
    from qweft.training.config import TrainingConfig
    from qweft.training.loop import fit
    from qweft.training.run import save_adapter

    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, VOCABULARY, (ROWS, ROW_TOKENS), generator=generator).tolist()
    rows: list[Any] = [{"input_ids": ids, "labels": [IGNORED_LABEL, *ids[1:]]} for ids in tokens]
    model = attach(_tiny_model(), adapter_config(ADAPTER))
    before = held_out_loss(model, rows, 0, ROWS).loss
    budget = TrainingConfig(learning_rate=5e-2, max_steps=STEPS, batch_size=ROWS, gradient_accumulation=1)
    fit(model, rows, 0, budget, "self-test")
    after = held_out_loss(model, rows, 0, ROWS).loss
    if not after < before:
        raise ArithmeticError(f"{STEPS} steps took the loss from {before:.4f} to {after:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(model, Path(folder) / "adapter")
        again = PeftModel.from_pretrained(_tiny_model(), str(Path(folder) / "adapter"))
        loaded = held_out_loss(again, rows, 0, ROWS).loss
    if abs(loaded - after) > 1e-6:
        raise ArithmeticError(f"the loss is {after:.6f} before saving and {loaded:.6f} after loading")
    return f"loss {before:.3f} -> {after:.3f} in {STEPS} steps, and {loaded:.3f} when loaded again"


SELF_TEST: dict[str, Callable[[], str]] = {
    "circuits on the CPU": partial(_check_circuits, "cpu", torch.float64, 1e-10),
    "train, save, load": _check_training,
    "circuits on the GPU": partial(_check_circuits, "cuda", torch.float32, 1e-5),
}
