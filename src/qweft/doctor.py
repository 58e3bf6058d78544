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

STEPS, ROWS = 12, 8
ADAPTER = {"preset": "qtha", "r": 3, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}


@dataclass(frozen=True)
class Finding:
    """Result of one check in a few words; a "fault" if qweft cannot work here, a "note" if worth knowing."""

    name: str
    said: str
    state: Literal["ok", "note", "fault"] = "ok"


def findings() -> Iterator[Finding]:
    """Yield what is found of the machine and by the self-test, which a failure ends: later parts build on earlier."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield from packages()
    yield from _machine()
    for name, part in PARTS.items():
        try:
            with warnings.catch_warnings(), progress(name):
                warnings.simplefilter("ignore", FutureWarning)  # raised by libraries about each other
                result = part()
        except Exception as error:  # report any failure as a finding
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            yield Finding(name, f"{type(error).__name__}: {reason[:300]}", "fault")
            return
        yield Finding(name, result)


def packages() -> Iterator[Finding]:
    """Yield the installed version of each package that the commands need."""
    for wanted in map(Requirement, importlib.metadata.requires("qweft") or []):
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": "workbench"}):
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        if version != "not installed" and wanted.specifier.contains(version, prereleases=True):
            yield Finding(wanted.name, version)
        else:
            yield Finding(wanted.name, f"{version}; pip install '{wanted.name}{wanted.specifier}'", "fault")


def _machine() -> Iterator[Finding]:
    for number in range(torch.cuda.device_count()):
        free, whole = (size / 2**30 for size in torch.cuda.mem_get_info(number))
        yield Finding(f"cuda:{number}", f"{torch.cuda.get_device_name(number)}, {free:.1f} of {whole:.1f} GiB free")
    if not torch.cuda.is_available():
        yield Finding("cuda", f"none that PyTorch {torch.__version__} sees; training runs on the CPU", "note")
    folder = cache_folder()
    room = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    yield Finding("model cache", f"{folder}, {room / 2**30:.1f} GiB free")


def _circuits(device: str, dtype: torch.dtype, most: float) -> str:
    """Compare the engine's values and gradients on a device with gate-by-gate simulation in float64."""
    from qweft.circuit import crz_ring_ansatz, expectation_values, gate_by_gate
    from qweft.circuit.cpu import compiled
    from qweft.circuit.gpu import fused

    if device == "cuda" and not torch.cuda.is_available():
        return "left out: no GPU"
    circuit, generator = crz_ring_ansatz(4, 2), torch.Generator().manual_seed(0)
    case = [torch.rand(size, generator=generator, dtype=torch.float64) for size in ((512, 4), (circuit.parameters,))]
    results = []
    for compute, place, kind in ((expectation_values, device, dtype), (gate_by_gate, "cpu", torch.float64)):
        inputs, angles = (tensor.to(place, kind, copy=True).requires_grad_() for tensor in case)
        values = compute(circuit, inputs, angles)
        # of a mean, so that a gradient is not larger than a value
        results.append([values, *torch.autograd.grad(values.square().mean(), [inputs, angles])])
    worst = max(float((one.cpu() - other).detach().abs().max()) for one, other in zip(*results, strict=True))
    if not worst < most:
        raise ArithmeticError(f"values or gradients differ by {worst:.1e} from those gate by gate")
    is_fast = fused.available(torch.device(device)) if device == "cuda" else compiled.available()
    by = "the compiled kernels" if is_fast else "PyTorch's operations, which are slower"
    return f"equal to gate by gate, values and gradients, to {worst:.0e}, by {by}"


def _tiny() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, num_key_value_heads=1)).eval()


def _train_save_load() -> str:
    """Train and save an adapter, load it onto a fresh base model, and compare losses."""
    from peft import PeftModel

    from qweft.adapter.attach import adapter_config, attach
    from qweft.evaluation.loss import held_out_loss
    from qweft.training.config import TrainingConfig
    from qweft.training.loop import fit
    from qweft.training.run import save_adapter

    tokens = torch.randint(3, 64, (ROWS, 16), generator=torch.Generator().manual_seed(1)).tolist()
    rows: list[Any] = [{"input_ids": ids, "labels": [-100, *ids[1:]]} for ids in tokens]
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


PARTS: dict[str, Callable[[], str]] = {
    "circuits on the CPU": partial(_circuits, "cpu", torch.float64, 1e-10),
    "train, save, load": _train_save_load,
    "circuits on the GPU": partial(_circuits, "cuda", torch.float32, 1e-5),
}
