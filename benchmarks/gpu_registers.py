"""Registers, spilled bytes and shared memory of the fused kernels, by Triton's compiler for a card that need not exist.

python -m benchmarks.gpu_registers [--capability 90] [--qubits 4 8]      (all qubits: five minutes)
"""

import argparse
import re
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Use(NamedTuple):
    """What a kernel takes: registers a thread, bytes stored and loaded for lack of them, shared bytes a program."""

    registers: int
    stored: int
    loaded: int
    shared: int


def use_of(kernel: Any, qubits: int, dtype: torch.dtype, capability: int) -> Use:
    """Compile a kernel to machine code, and read what the assembler tells of it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from qweft.circuit.gpu.fused_kernels import tile_for

    tile = tile_for(qubits, dtype)
    fixed = {"n": qubits, "ROWS": triton.next_power_of_2(qubits), "BLOCK": tile.tokens}
    fixed = {name: value for name, value in fixed.items() if name in kernel.arg_names}
    kinds = dict.fromkeys(kernel.arg_names, "*fp64" if dtype == torch.float64 else "*fp32")
    kinds |= dict.fromkeys(fixed, "constexpr") | {"uploads": "*i32", "tokens": "i32", "layers": "i32", "tiles": "i32"}
    source = ASTSource(kernel, kinds, constexprs=fixed)
    options = {"num_warps": tile.warps, "enable_fp_fusion": True}
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "kernel.ptx"
        text.write_text(built.asm["ptx"])
        name = f"sm_{capability}{'a' if capability >= 90 else ''}"
        command = [str(assembler), "-v", "--gpu-name", name, str(text), "-o", str(Path(folder) / "kernel.cubin")]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return use_said(said, built.metadata.shared)


def use_said(said: str, shared: int) -> Use:
    """Return the use that the assembler's text tells of."""
    registers = re.search(r"Used (\d+) registers", said)
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    if registers is None or spilled is None:
        raise ValueError(f"the assembler's text has another form: {said}")
    return Use(int(registers[1]), int(spilled[1]), int(spilled[2]), shared)


def main() -> None:
    """Print a line for each kernel."""
    from qweft.circuit.gpu.fused_kernels import TILES, backward_kernel, forward_kernel, tile_for

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90)
    parser.add_argument("--qubits", type=int, nargs="+", default=sorted(TILES))
    given = parser.parse_args()
    print(f"Triton {version('triton')}, compute capability {given.capability / 10}")
    for dtype in (torch.float32, torch.float64):
        for qubits in given.qubits:
            for kernel in (forward_kernel, backward_kernel):
                use = use_of(kernel, qubits, dtype, given.capability)
                print(f"{dtype} n={qubits} {kernel.__name__} {tile_for(qubits, dtype)} {use}", flush=True)


if __name__ == "__main__":
    main()
