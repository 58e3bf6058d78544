"""How time and memory grow with each size, as exponents of a power law fitted by least squares on logarithms.

python -m benchmarks.growth            (some minutes; writes benchmarks/results/growth.json)
"""

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.memory import peak_of
from benchmarks.rounds import alternate, medians
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from qweft.adapter.branch import make_branch
from qweft.adapter.build import prepare
from qweft.adapter.config import QwthnConfig
from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.core.files import write_json

RESULTS = Path(__file__).parent / "results" / "growth.json"


def circuit_run(qubits: int, layers: int, tokens: int) -> Callable[[], Any]:
    """The circuit's forward and backward."""
    circuit = crz_ring_ansatz(qubits, layers)
    x, t = torch.randn(tokens, qubits, requires_grad=True), torch.randn(circuit.parameters, requires_grad=True)
    gradient = torch.randn(tokens, qubits)
    return lambda: torch.autograd.grad(expectation_values(circuit, x, t), [x, t], gradient)


def contraction_run(width: int, bond: int) -> Callable[[], Any]:
    """Both operators of a 3584 x 3584 layer at r = 8, contracted and differentiated."""
    branch = make_branch(QwthnConfig.preset("mpo", r=8, width=width, bond_dimension=bond), 3584, 8, 3584)
    for part in (branch.compress, branch.expand):
        part.reset("recorded", zero=False)
    branch.core.reset("recorded")

    def run() -> None:
        built = prepare([branch], graph=True)[0]
        torch.autograd.backward(built.compress.sum() + built.expand.sum())

    return run


def step_run(hidden: int, blocks: int, tokens: int, r: int = 4) -> Callable[[], Any]:
    """A training step of a Llama with random weights and the preset qtha on q_proj and v_proj."""
    torch.manual_seed(0)
    shape = LlamaConfig(
        hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=blocks, num_attention_heads=hidden // 32,
        vocab_size=4096,
    )  # fmt: skip
    config = QwthnConfig.preset("qtha", r=r, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(LlamaForCausalLM(shape), config).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ids = torch.randint(0, 4096, (1, tokens))

    def run() -> None:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


SERIES: dict[str, tuple[list[int], Callable[[int], Callable[[], Any]], str]] = {
    "qubits (L = 4, 512 tokens)": (list(range(2, 13)), lambda n: circuit_run(n, 4, 512), "2^n"),
    "layers (n = 6, 512 tokens)": ([1, 2, 4, 6, 8, 10], lambda n: circuit_run(6, n, 512), "L"),
    "tokens (n = 6, L = 6)": ([512, 1024, 2048, 4096, 8192], lambda n: circuit_run(6, 6, n), "tokens"),
    "rank (step of a small model, 256 tokens)": ([2, 4, 6, 8], lambda r: step_run(256, 4, 256, r), "r"),
    "tokens (step of a small model)": ([64, 128, 256, 512], lambda n: step_run(256, 4, n), "tokens"),
    "blocks of a model (256 tokens)": ([2, 4, 8, 16], lambda n: step_run(256, n, 256), "blocks"),
    "hidden size of a model (256 tokens)": ([128, 256, 512, 1024], lambda n: step_run(n, 4, 256), "hidden"),
    "inner width (bond 8)": ([16, 64, 256, 1024], lambda n: contraction_run(n, 8), "width"),
    "bond dimension (width 256)": ([2, 4, 8, 16, 32], lambda n: contraction_run(256, n), "bond"),
}
"""Name: (sizes, what to run at a size, what the exponent belongs to)."""


def exponent(sizes: list[float], values: list[float]) -> float:
    """Slope of log value over log size."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(value, 1e-12)) for value in values]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds and rise of peak memory at each size; exponents from the upper half, where overhead is small."""
    found = {}
    for name, (sizes, make, of) in SERIES.items():
        subjects = {str(size): make(size) for size in sizes}
        typical = list(medians(alternate(subjects, rounds)).values())
        peaks = [peak_of(subject)[1] for subject in subjects.values()]
        scale = [2.0**size if of == "2^n" else float(size) for size in sizes]
        upper = slice(len(sizes) // 2, None)
        found[name] = {
            "sizes": sizes,
            "milliseconds": [1e3 * seconds for seconds in typical],
            "peak_bytes": peaks,
            "exponent": exponent(scale[upper], typical[upper]),
            "memory_exponent": exponent(scale[upper], [float(max(size, 4096)) for size in peaks[upper]]),
            "of": of,
        }
    return found


def main() -> None:
    """Measure every series and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    found = measure(given.rounds)
    write_json(RESULTS, {"series": found, "load_average": os.getloadavg()[0], "threads": torch.get_num_threads()})
    for name, one in found.items():
        print(f"{name}: time as {one['of']}^{one['exponent']:.2f}, memory as {one['of']}^{one['memory_exponent']:.2f}")


if __name__ == "__main__":
    main()
