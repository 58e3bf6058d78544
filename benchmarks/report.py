"""The results in words: which targets are met, and docs/benchmarks.md; as a program it writes that page anew."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report_large import fixed_bases, growth, large

from qweft.environment import ALONE, share_said
from qweft.files import write_bytes

LIMITS = """### What limits the circuit

(`python -m benchmarks.overhead`, one thread.)

A layer costs 20 n + 50 multiply-adds for each amplitude and token, forward and backward:

- 4 n + 12 forward (two blocks of n rotations, two multiply-adds a pair on real and imaginary part; two diagonals, which
  take the product of the cosines along), and the same again in the backward;
- 8 n + 20 to undo state and gradient;
- 4 n + 6 for the angles' sums.

On 2026-11-27 a float32 matrix product made 45 x 10^9 multiply-adds a second on one core.

| n | L | multiply-adds of 512 tokens, 10^6 | kernels, ms | of the product's speed | whole call, ms |
| --- | --- | --- | --- | --- | --- |
| 4 | 4 | 4.3 | 0.16 | 60% | 0.41 |
| 6 | 6 | 33 | 0.89 | 84% | 1.15 |
| 8 | 8 | 220 | 5.4 | 92% | 6.2 |
| 4 | 1 | 1.1 | 0.06 | 40% | 0.29 |
| 6 | 1 | 5.6 | 0.20 | 63% | 0.43 |
| 8 | 1 | 28 | 0.96 | 65% | 1.27 |
| 10 | 1 | 131 | 4.4 | 67% | 4.9 |

So with L = n the kernels are near the processor's limit from 6 qubits on. With few qubits and layers the rest of a call
counts: 0.2 ms for a node of PyTorch's graph and a few small operations. That is what limits 4 qubits at 512 tokens.

A single layer (L1 in the table at the end) is less than 15 times as fast as the fastest package. At 4 and 6 qubits the
rest of a call is the reason. At 8 and 10 the kernels take 76 and 90% of it, at two thirds of a matrix product's speed:
the first state and the measurement, which the count leaves out, are a third of their time."""

CIRCUIT_TARGET = 15
STEP_TARGETS = {"r4_L4": 1.0, "r8_L8": 1.15, "all_linear": 1.15}
GENERATION_TARGETS = {"r4_L4": 1.0, "r8_L8": 0.95}


PRODUCT = 45e9
"""Multiply-adds a second of a float32 matrix product on one core, as `benchmarks.overhead` printed on 2026-11-27."""


def multiply_adds(n: int, layers: int, tokens: int) -> int:
    """Multiply-adds of the circuit's kernels, forward and backward: 20 n + 50 for each amplitude, layer and token."""
    return (20 * n + 50) * 2**n * layers * tokens


def targets(summary: dict[str, Any]) -> list[tuple[str, float, str, float, str]]:
    """(what, measured, "at least" or "at most", target, verdict).

    The verdict is "met" or "missed"; on a time that was measured beside other work, or is nearer to its target than its
    spread, it says so instead.
    """
    rows: list[tuple[str, float, str, float, str, float]] = []
    wanted: float = CIRCUIT_TARGET
    for name, one in summary["circuit"].items():
        what = f"circuit {name}, {one['tokens']} tokens, times faster than {one['fastest']}"
        rows.append((what, one["speedup_vs_fastest"], "at least", wanted, "circuit", one.get("spread", 0.0)))
        rows.append((f"circuit {name}, its peak memory", one["memory_ratio"], "at most", 0.1, "", 0.0))
        if "speedup_at_512_tokens" in one:
            few = one["speedup_at_512_tokens"]
            what = f"circuit {name}, 512 tokens, times faster than the fastest"
            rows.append((what, few, "at least", wanted, "circuit", one.get("spread_at_512_tokens", 0.0)))
    for name, limit in STEP_TARGETS.items():
        one = summary["step"][name]
        spread = one.get("spread", 0.0)
        rows.append((f"training step {name}, times LoRA's", one["vs_lora"], "at most", limit, "step", spread))
        rows.append((f"peak memory {name}, times LoRA's", one["memory_vs_lora"], "at most", 1.0, "", 0.0))
    for shape, one in summary["generation"].items():
        wanted = next(limit for name, limit in GENERATION_TARGETS.items() if shape.startswith(name))
        what = f"generation {shape}, times LoRA's tokens per second"
        rows.append((what, one["vs_lora"], "at least", wanted, "generation", one["spread"]))
    for kind, part in (("computed", ""), ("measured", "contraction_7b")):
        share = summary["contraction_7b"][f"{kind}_share"]
        rows.append((f"contraction in a 7B step, {kind} share", share, "at most", 0.02, part, 0.0))
    return [(*row[:4], _verdict(summary, *row[1:])) for row in rows]


def _verdict(summary: dict[str, Any], value: float, bound: str, wanted: float, part: str, spread: float) -> str:
    """The verdict on one target; `part`: the measurement whose load counts, empty for what is no time."""
    beside = summary.get("load", {}).get(part, {}).get("cpu_by_others")
    if beside is not None and beside > ALONE:
        return f"not measured alone (others: {share_said(beside)})"
    if part and abs(value / wanted - 1) <= spread:
        return "within its spread"
    verdict = "met" if (value >= wanted if bound == "at least" else value <= wanted) else "missed"
    return f"{verdict}, load not recorded" if part and beside is None else verdict


def verdicts(summary: dict[str, Any]) -> str:
    """One line a target."""
    lines = [
        f"{said.replace('missed', 'MISSED')}: {what}: {value:.4g} ({bound} {wanted:g})"
        for what, value, bound, wanted, said in targets(summary)
    ]
    return "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown; numbers with three digits."""
    cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(head), ["---"] * len(head), *cells])


def page(summary: dict[str, Any], results: dict[str, Any], again: dict[str, Any] | None = None) -> str:
    """docs/benchmarks.md; `again`: the summary of another run, of `make bench-quick`, on the same machine."""
    measured = f"## How it was measured\n\n{_machine(summary)}\n\n{_load(summary)}"
    numbers = ["## Appendix: all numbers", _circuit(results), _models(results)]
    more = [section for section in (fixed_bases(), growth(), large()) if section]
    head = _head(summary, again, results["circuit"]["shapes"])
    return "\n\n".join([head, measured, _targets(summary, again), LIMITS, _limits(results), *more, *numbers]) + "\n"


def saved_page() -> str:
    """docs/benchmarks.md from the saved results; those of `make bench-quick` stand beside, if of the same machine."""
    saved = Path(__file__).parent / "results"
    summary, results, again = (
        json.loads((saved / f"{name}.json").read_text()) for name in ("summary", "full", "again")
    )
    same = all(summary["machine"][key] == again["machine"][key] for key in ("cpu", "cores", "vectors"))
    return page(summary, results, again if same else None)


def write_page() -> None:
    """Write docs/benchmarks.md from the saved results."""
    write_bytes(Path(__file__).parents[1] / "docs" / "benchmarks.md", saved_page().encode())


ALT = """Time of the circuit in other packages, from 10 to more than 10,000 times that of Qweft; times of a training
step and a generated token of QTHA, a little above LoRA's"""


def _memory(shape: dict[str, Any]) -> float:
    """This package's peak memory of a shape, as a share of the fastest other one's."""
    fastest = min(shape["speedup"], key=lambda peer: shape["speedup"][peer])
    return float(shape["memory_bytes"]["qweft"] / max(1, shape["memory_bytes"][fastest]))


def _head(summary: dict[str, Any], again: dict[str, Any] | None, shapes: dict[str, Any]) -> str:
    """What the page gives, its picture, and the numbers that most readers want."""
    circuit = summary["circuit"]
    measured = ("speedup_vs_fastest", "speedup_at_512_tokens")
    runs = [summary] if again is None else [summary, again]
    faster = [one[key] for run in runs for one in run["circuit"].values() for key in measured if key in one]
    memory = max(_memory(one) for name, one in shapes.items() if re.fullmatch(r"n(\d+)_L\1_T\d+", name))
    few = ", ".join(
        f"{one['speedup_at_512_tokens']:.3g} times at {name[1:]} qubits"
        for name, one in circuit.items()
        if "speedup_at_512_tokens" in one
    )
    r4, r8, linear = (
        " and ".join(f"{run['step'][shape]['vs_lora']:.2f}" for run in runs)
        for shape in ("r4_L4", "r8_L8", "all_linear")
    )
    small, large_rank = (
        [one["vs_lora"] for run in runs for shape, one in run["generation"].items() if shape.startswith(rank)]
        for rank in ("r4", "r8")
    )
    pictures = "\n".join(f"![{ALT}](pictures/speed-{theme}.svg#only-{theme})" for theme in ("light", "dark"))
    return f"""# How fast it is

How long the circuit, a training step and a generated token take, against other packages and PEFT's LoRA. Measure it on
your machine:

<!-- not run: it measures for ten minutes -->

    make bench-quick

{pictures}

- **The circuit**, forward and backward with L = n layers, is {min(faster):.3g} to {max(faster):.3g} times faster than
  the fastest of eight modes of five other packages. At 512 tokens it is {few}.
- **Its memory** is at most {math.ceil(1e3 * memory) / 1e3:.1%} of that fastest one's.
- **A training step** of SmolLM2-135M takes {r4} times as long as LoRA's at r = 4, {r8} times at
  r = 8, and {linear} times with both on all linear layers{"" if again is None else " (two runs)"}.
- **Generation** reaches {min(small):.3g} to {max(small):.3g} of unmerged LoRA's tokens per second at r = 4, and
  {min(large_rank):.3g} to {max(large_rank):.3g} at r = 8, with 1, 8 and 32 rows at a time.
- **No GPU was at hand**: the fused kernels for GPUs are not timed. `make gpu` times them where there is one, and writes
  [its own page](benchmarks-gpu.md)."""


def _machine(summary: dict[str, Any]) -> str:
    machine = summary["machine"]
    parts: dict[tuple[str, str], list[str]] = {}
    for part, when in summary["measured"].items():
        parts.setdefault((when["date"][:10], when["git_commit"]), []).append(part)
    dates = "\n".join(f"- {', '.join(names)}: {date}, commit {commit};" for (date, commit), names in parts.items())
    versions = {"Python": "python", "PyTorch": "torch", "transformers": "transformers", "PEFT": "peft"}
    spreads = [one["spread"] for part in ("step", "generation") for one in summary[part].values()]
    return f"""Both sides are timed alternately in one run. The circuit's ratios are those of medians.
Those of steps and generation are the median of the rounds' ratios, with a spread of {min(spreads):.2f} to
{max(spreads):.2f}. Ratios of the medians in the appendix may differ from them by as much. Every other package first
proves that it computes the same values and gradients (`python -m benchmarks.peers.verify`). Times are of this
machine; ratios carry over better.

- {machine["cpu"]}, {machine["cores"]} cores, {machine["vectors"]};
- {", ".join(f"{name} {machine[key]}" for name, key in versions.items())};
{dates[:-1]}.

`make bench` (`python -m benchmarks.run`) measures everything and writes this page; `make bench-quick` measures the
targets alone. Each part is a file of `benchmarks/`: `circuit.py`, `step.py`, `rival.py`, `generation.py`, `layer.py`,
`contraction.py`. All numbers are in `benchmarks/results/full.json`."""


def _load(summary: dict[str, Any]) -> str:
    """The load of the machine beside each part."""
    load = summary.get("load")
    if not load:
        return (
            "The load of the machine beside these times was not recorded; a time that other work shared is longer,\n"
            "and a ratio may be off either way."
        )
    told = ", ".join(f"{part} {share_said(found['cpu_by_others'])}" for part, found in load.items())
    return f"Share of the processors that other processes took meanwhile: {told}."


def _targets(summary: dict[str, Any], again: dict[str, Any] | None) -> str:
    """Each target with what was measured; where there is another run, its numbers stand beside."""
    second = [] if again is None else [(f"{value:.4g}", _bold(said)) for _, value, _, _, said in targets(again)]
    rows = [
        (what, f"{bound} {wanted:g}", f"{value:.4g}", _bold(said), *(second[place] if second else ()))
        for place, (what, value, bound, wanted, said) in enumerate(targets(summary))
    ]
    head, told = ["what", "target", "measured", ""], ""
    if again is not None:
        when = next(iter(again["measured"].values()))
        others = share_said(max(one["cpu_by_others"] for one in again["load"].values()))
        told = f"""The last two columns are `make bench-quick` as one command, from a fresh clone: {when["date"][:10]},
commit {when["git_commit"]}. Other processes took at most {others} of the processors.\n\n"""
        head += ["again", ""]
    told += '"Within its spread": the rounds differ by more than what lies between the number and its target.\n\n'
    return f"## Targets\n\n{told}" + table(head, rows)


def _bold(verdict: str) -> str:
    return verdict.replace("missed", "**missed**")


OF_A_STEP = (
    "r = L", "LoRA's step", "more without a circuit", "more with it", "spread", "a circuit", "at a product's speed",
)  # fmt: skip


def _of_a_step(step: dict[str, Any], r: int) -> tuple[str, ...]:
    """A row on what the branches of rank r and L = r take."""
    lora, name = 1e3 * step["seconds"][f"lora_r{r}"], f"r{r}_L{r}"
    plain, whole = (lora * (step[each]["vs_lora"] - 1) for each in (f"mpo_{name}", name))
    spread = lora * max(step[each]["spread"] for each in (f"mpo_{name}", name))
    least = 1e3 * multiply_adds(r, r, 512) / (2 * PRODUCT)
    return (
        str(r),
        *(f"{each:.0f}" for each in (lora, plain, whole, spread)),
        f"{(whole - plain) / 60:.1f} ± {spread / 60:.1f}" if whole - plain > spread else "within the spread",
        f"{least:.2g}",
    )


def _limits(results: dict[str, Any]) -> str:
    """What a step, a token and the peak consist of."""
    step, generation = results["step"], results["generation"]
    base = 1e3 * step["seconds"]["lora_r4"] * (1 - step["base"]["vs_lora"])
    rows = [_of_a_step(step, r) for r in (4, 8)]
    rises = [one["rise_vs_lora"] for one in step.values() if isinstance(one, dict) and "rise_vs_lora" in one]
    tokens = {
        shape: {kind: 1e3 * int(shape.rpartition("rows")[2]) / each for kind, each in one["tokens_per_second"].items()}
        for shape, one in generation.items()
    }
    kinds = list(next(iter(tokens.values())))
    return f"""### What limits a step

Milliseconds by ratios to LoRA's step, measured in turns. At r = 4 LoRA's own branches take {base:.0f} ms.

{table(OF_A_STEP, rows)}

"A circuit" is one of 60, forward and backward, for 512 tokens, and what surrounds it. The last column is its
multiply-adds at the speed of a float32 matrix product on two cores.

### What limits a token

Milliseconds of a token of each row, the prompt's time in it:

{table(("shape", *kinds), [(shape, *one.values()) for shape, one in tokens.items()])}

Before each token all parameters of the adapter are compared with what its matrices were built from, since no version
counter of PyTorch sees every write. With cold caches that took 1.36 ms on 2026-11-27, alone (`python -m
benchmarks.overhead`). The addresses and shapes of 780 tensors and 1,620 entries of their modules are looked up, and 1.8
MB are compared in one compiled call.

### What limits the peak

Above what a process holds before its first step, memory rises {min(rises):.2f} to {max(rises):.2f} times as much as
with LoRA. The peak of a whole process also counts Numba and LLVM, which compile the circuit: 127 MiB
(`python -m benchmarks.overhead`, 2026-11-27). That is 5% of LoRA's
{step["lora_peak_bytes"]["lora_r4"] / 2**20:,.0f} MiB."""


def _circuit(results: dict[str, Any]) -> str:
    found = results["circuit"]
    peers = sorted({peer for one in found["shapes"].values() for peer in one["speedup"]})
    rows, memory = [], []
    for name, one in found["shapes"].items():
        rows.append((name, 1e3 * one["seconds"]["qweft"], *(one["speedup"].get(peer, "-") for peer in peers)))
        ours = one["memory_bytes"]["qweft"]
        sizes = (one["memory_bytes"].get(peer) for peer in peers)
        memory.append((name, ours / 2**20, *("-" if size is None else size / max(ours, 4096) for size in sizes)))
    left = "\n".join(f"- {peer}: {why}" for peer, why in found["left_out"].items())
    text = f"""### The circuit alone

Forward and backward, re-upload, float32, {found["threads"]} threads; n qubits, L layers, T tokens. The second column is
this package's time in milliseconds. The others are multiples of it.

{table(("shape", "qweft, ms", *peers), rows)}

Peak memory of one forward and backward: this package's in MiB, the others as multiples of it (a page, 4 KiB, where
none was taken).

{table(("shape", "qweft, MiB", *peers), memory)}"""
    return text + (f"\n\nLeft out, and why:\n\n{left}" if left else "")


def _rival(found: dict[str, Any]) -> str:
    if "left_out" in found:
        return f"`quantum-adapter` was left out: {found['left_out']}."
    return f"""`quantum-adapter` {found["version"]} (amplitude, rank 4: the circuit makes the factors of a LoRA,
whatever the token), each in its own environment and process, in turn with LoRA of rank 4: {found["vs_lora"]:.3g} times
LoRA's step, with {found["trained"]:,} trained parameters."""


def _models(results: dict[str, Any]) -> str:
    step, generation = results["step"], results["generation"]
    methods = [name for name in step if isinstance(step[name], dict) and "memory_vs_lora" in step[name]]
    steps = [
        (name, step[name]["method"], step["seconds"][name], step[name]["vs_lora"], step[name]["memory_vs_lora"])
        for name in methods
    ]
    steps += [(name, "", step["seconds"][name], "", "") for name in step["seconds"] if name not in methods]
    kinds = list(next(iter(results["layer"].values()))["vs_lora"])
    layers = [
        (
            name,
            one["lora_milliseconds"],
            *(one["vs_lora"][kind] for kind in kinds),
            *(one["memory_vs_lora"][kind] for kind in kinds),
        )
        for name, one in results["layer"].items()
    ]
    contraction = results["contraction_7b"]
    kinds_generated = list(next(iter(generation.values()))["tokens_per_second"])
    spoken = [(shape, *one["tokens_per_second"].values()) for shape, one in generation.items()]
    return f"""### A training step of the embedded model

SmolLM2-135M (dequantised Q4_1, float32), batch 4 x 128 of real text, q_proj and v_proj (or all linear layers),
inner width 256 and bond 8 but for the presets as they come (width 16, bond 4). LoRA is PEFT's, of the same rank;
"base" is forward and backward through the frozen model.

{table(("what", "method", "seconds", "times LoRA's step", "times LoRA's peak memory"), steps)}

{_rival(results["rival"])}

### Generation

Greedy, tokens per second of all rows together, adapters not merged; inner width 256 and bond 8.

{table(("shape", *kinds_generated), spoken)}

### One adapted layer against PEFT's LoRA layer

Forward and backward, with gradients to input and adapter; width d, T tokens. Times and peak memory are multiples of
LoRA's.

{table(("shape", "LoRA, ms", *kinds, *(f"{kind}, memory" for kind in kinds)), layers)}

### Contracting the operators of a 7B model

All layers of DeepSeek-R1-Distill-Qwen-7B's shapes, r = 10, width 256, bond 8, against the base model's linear maps at
4096 tokens: {contraction["computed"]["share"]:.2%} of the multiplications, and {contraction["measured"]["share"]:.2%}
of the time as measured on one layer (`benchmarks/contraction.py`)."""


if __name__ == "__main__":
    write_page()
