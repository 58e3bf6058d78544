"""One adapted linear layer against PEFT's LoRA layer of the same rank: forward, backward and peak memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from benchmarks.memory import peak_of
from benchmarks.rounds import alternate, medians
from peft import LoraConfig, get_peft_model
from torch import nn

from qweft import QwthnConfig

SHAPES = [(576, 512, 4, 4), (576, 512, 8, 8), (3584, 512, 4, 4), (3584, 512, 8, 8), (3584, 4096, 8, 8)]
"""(width, tokens, r, L)."""


def layer_of(kind: str, width: int, r: int, layers: int) -> nn.Module:
    """A linear layer width -> width with an adapter, the only part of its model."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width, bias=False))
    if kind == "lora":
        config: Any = LoraConfig(r=r, lora_alpha=2 * r, target_modules=["0"], init_lora_weights=False)
    else:
        circuit = {} if kind == "mpo" else {"circuit_layers": layers}
        sizes = {"r": r, "width": 256, "bond_dimension": 8}
        config = QwthnConfig.preset(kind, **sizes, target_modules=["0"], init_weights=False, **circuit)
    return get_peft_model(model, config).train()


def subject(kind: str, width: int, tokens: int, r: int, layers: int) -> Any:
    """One forward and backward, to the input and to the adapter."""
    model = layer_of(kind, width, r, layers)
    x, gradient = torch.randn(tokens, width, requires_grad=True), torch.randn(tokens, width)
    trained = [p for p in model.parameters() if p.requires_grad]

    def run() -> None:
        torch.autograd.grad(model(x), [x, *trained], gradient)

    return run


def peak(kind: str, *shape: int) -> int:
    """Rise of the peak of resident memory in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.layer", kind, *map(str, shape)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return int(json.loads(found.stdout.splitlines()[-1]))


def measure(rounds: int) -> dict[str, Any]:
    """Ratios to LoRA by shape and method."""
    found = {}
    for shape in SHAPES:
        kinds = ("lora", "qtha", "qwthn", "mpo")
        typical = medians(alternate({kind: subject(kind, *shape) for kind in kinds}, rounds, warm=2))
        peaks = {kind: peak(kind, *shape) for kind in kinds}
        width, tokens, r, layers = shape
        found[f"d{width}_T{tokens}_r{r}_L{layers}"] = {
            "lora_milliseconds": 1e3 * typical["lora"],
            "vs_lora": {kind: typical[kind] / typical["lora"] for kind in kinds[1:]},
            "memory_vs_lora": {kind: peaks[kind] / max(1, peaks["lora"]) for kind in kinds[1:]},
        }
    return found


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    work = subject(kind, *map(int, numbers))
    work()
    print(json.dumps(peak_of(work)[1]))
