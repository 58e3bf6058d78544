"""Where the time of one circuit call goes, on one thread: kernels with their tables, and the whole call.

The kernels' multiply-adds a second stand beside those of a float32 matrix product, the fastest that the processor does.
It also times the look at an adapter's parameters before each token, with caches that other work has emptied, and reads
the memory that a process takes for the compiler of the kernels.

python -m benchmarks.overhead
"""

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from benchmarks.adapted import RECORDED, adapted, batch

from qweft.adapter.batched_build import SESSION
from qweft.circuit import Circuit, crz_ring_ansatz, expectation_values
from qweft.circuit.cpu import compiled

TOKENS = 512


def multiply_adds(n: int, layers: int, tokens: int) -> int:
    """Multiply-adds of the circuit's kernels, forward and backward: 20 n + 50 for each amplitude, layer and token."""
    return (20 * n + 50) * 2**n * layers * tokens


def milliseconds(work: Callable[[], Any], runs: int = 200) -> float:
    """Median over runs in a row, after some to warm up."""
    found = []
    for number in range(runs + 20):
        start = time.perf_counter()
        work()
        if number >= 20:
            found.append(time.perf_counter() - start)
    return 1e3 * median(found)


def look() -> None:
    """Print what looking at all parameters of qtha, r = 4, takes between two tokens: warm and cold caches."""
    model = adapted("qtha", 4, 4, **RECORDED).eval()
    with torch.no_grad():
        model(input_ids=batch(1, 8))
    session = next(vars(module)[SESSION] for module in model.modules() if SESSION in vars(module))
    other, cold = torch.ones(60_000_000), []
    for _ in range(25):
        other.mul_(1.0)  # 240 MB pass through the caches, as the base model does
        start = time.perf_counter()
        assert session.still_holds()
        cold.append(time.perf_counter() - start)
    warm = milliseconds(lambda: session.still_holds())
    print(f"look at the parameters before a token: {warm:.2f} ms warm, {1e3 * median(cold):.2f} ms cold")


COMPILER = """
import torch
from benchmarks.memory import resident
from qweft.circuit import crz_ring_ansatz, expectation_values
circuit = crz_ring_ansatz(4, 4)
x, t = torch.randn(8, 4, requires_grad=True), torch.randn(circuit.parameters, requires_grad=True)
(x.sum() + t.sum()).backward()
before = resident("VmRSS")
torch.autograd.grad(expectation_values(circuit, x, t).sum(), [x, t])
print((resident("VmRSS") - before) / 2**20)
"""
"""Prints the MiB that a process grows by at its first circuit. The kernels themselves take kilobytes."""


def compiler() -> None:
    """Print the resident memory of Numba and LLVM, in a process of its own; the second one finds stored kernels."""
    for _ in range(2):
        grown = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True).stdout
    print(f"memory of Numba and LLVM: {float(grown):.0f} MiB")


def product_rate() -> float:
    """10^9 multiply-adds a second of a float32 matrix product of 1024 x 1024."""
    one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)
    out = torch.empty(1024, 1024)
    return 1024**3 / 1e6 / milliseconds(lambda: torch.mm(one, other, out=out), 50)


def main() -> None:
    """Print a line for the compiler's memory, one for the look at parameters, and one for each circuit."""
    torch.set_num_threads(1)
    compiler()
    look()
    fastest = product_rate()
    print(f"a float32 matrix product: {fastest:.1f} x 10^9 multiply-adds a second")
    for n, layers in ((4, 4), (6, 6), (8, 8), (4, 1), (6, 1), (8, 1), (10, 1)):
        circuit = crz_ring_ansatz(n, layers)
        x, t = torch.randn(TOKENS, n, requires_grad=True), torch.randn(circuit.parameters, requires_grad=True)
        outer = torch.randn(TOKENS, n)

        def both(circuit: Circuit = circuit, x: Any = x, t: Any = t, outer: Any = outer) -> None:
            compiled.values_at(circuit, x, t)
            compiled.gradients_at(circuit, outer, x, t)

        def whole(circuit: Circuit = circuit, x: Any = x, t: Any = t, outer: Any = outer) -> None:
            torch.autograd.grad(expectation_values(circuit, x, t), [x, t], outer)

        taken = milliseconds(both)
        share = multiply_adds(n, layers, TOKENS) / 1e6 / taken / fastest
        print(
            f"n = {n}, L = {layers}, {TOKENS} tokens: kernels {taken:.3f} ms, {share:.0%} of the product's speed, "
            f"call {milliseconds(whole):.3f} ms"
        )


if __name__ == "__main__":
    main()
