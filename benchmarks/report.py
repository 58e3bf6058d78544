"""The results in words: which targets are met, and docs/benchmarks.md; as a program it writes that page anew."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.circuit import FINALISTS

from qweft.core.environment import ALONE, share_said
from qweft.core.files import write_bytes

RESULTS = Path(__file__).parent / "results"
PEERS = {
    "pennylane_jax": "PennyLane, JAX",
    "pennylane_torch": "PennyLane, PyTorch",
    "pennylane_lightning": "PennyLane Lightning",
    "tensorcircuit_jax": "TensorCircuit-NG, JAX",
    "tensorcircuit_torch": "TensorCircuit-NG, PyTorch",
    "torchquantum": "TorchQuantum-NG",
    "deepquantum": "DeepQuantum",
    "pyqtorch": "PyQTorch",
    "torq": "TorQ",
    "fastqml": "fastQML",
    "qandle": "QANDLE",
    "flagquantum": "FlagQuantum",
}
"""The other packages by their peers."""

CIRCUIT_TARGETS = {"circuit": 15.0, "hardware_efficient": 5.0}
STEP_TARGETS = {"r4_L4": 1.0, "r8_L8": 1.15, "all_linear": 1.15}
GENERATION_TARGETS = {"r4_L4": 1.0, "r8_L8": 0.95}


def targets(summary: dict[str, Any]) -> list[tuple[str, float, str, float, str]]:
    """(what, measured, "at least" or "at most", target, verdict).

    The verdict is "met" or "missed"; on a time that was measured beside other work, or is nearer to its target than its
    spread, it says so instead.
    """
    rows: list[tuple[str, float, str, float, str, float]] = []
    for circuit, wanted in CIRCUIT_TARGETS.items():
        for name, one in summary.get(circuit, {}).items():
            what = f"{circuit} {name}, {one['tokens']} tokens, times faster than {one['fastest']}"
            rows.append((what, one["speedup_vs_fastest"], "at least", wanted, "circuit", one.get("spread", 0.0)))
            rows.append((f"{circuit} {name}, its peak memory", one["memory_ratio"], "at most", 0.1, "", 0.0))
            if "speedup_at_512_tokens" in one:
                few = one["speedup_at_512_tokens"]
                what = f"{circuit} {name}, 512 tokens, times faster than the fastest"
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


def saved(name: str) -> dict[str, Any]:
    """Return saved results; nothing where there are none."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def saved_page() -> str:
    """Return docs/benchmarks.md from the saved results, with those of `make bench-quick` if of the same machine."""
    from benchmarks import gpu_page

    summary, results, again = saved("summary"), saved("full"), saved("again")
    same = again and all(summary["machine"][key] == again["machine"][key] for key in ("cpu", "cores", "vectors"))
    runs = [summary, again] if same else [summary]
    measured = [_head(runs, results["circuit"]), _machine(runs), _targets(runs)]
    numbers = [_circuit(results), _step(results), _limits(results), _growth(), _large(), _bases()]
    return "\n\n".join([*measured, *numbers, gpu_page.section(saved("gpu"))]) + "\n"


def write_page() -> None:
    """Write docs/benchmarks.md from the saved results."""
    write_bytes(Path(__file__).parents[1] / "docs" / "benchmarks.md", saved_page().encode())


def _pictures(name: str, alt: str) -> str:
    return "\n".join(f"![{alt}](pictures/{name}-{theme}.svg#only-{theme})" for theme in ("light", "dark"))


def _range(numbers: Sequence[float]) -> str:
    return f"{min(numbers):.3g} to {max(numbers):.3g}"


def _memory(shape: dict[str, Any]) -> tuple[str, float]:
    """Return the fastest other package of a shape, and our peak memory as a share of that package's."""
    fastest = min((peer for peer in shape["speedup"] if peer in PEERS), key=lambda peer: shape["speedup"][peer])
    return fastest, shape["memory_bytes"]["qweft"] / max(1, shape["memory_bytes"][fastest])


def _head(runs: Sequence[dict[str, Any]], raced: dict[str, Any]) -> str:
    keys = ("speedup_vs_fastest", "speedup_at_512_tokens")
    faster, second = (
        [one[key] for run in runs for one in run.get(name, {}).values() for key in keys if key in one]
        for name in ("circuit", "hardware_efficient")
    )
    memory = max(_memory(one)[1] for one in raced["shapes"].values())
    steps = [run["step"][shape]["vs_lora"] for run in runs for shape in STEP_TARGETS]
    tokens = [one["vs_lora"] for run in runs for one in run["generation"].values()]
    alt = "Time of the circuit in other packages, many times that of Qweft; times of a step and a token, near LoRA's"
    return f"""# How fast it is

<!-- not run: it measures for ten minutes -->

```bash
make bench-quick    # measure the targets below on your machine
```

{_pictures("speed", alt)}

- **The recorded circuit**, forward and backward, is {_range(faster)} times as fast as the fastest of
  {_packages(raced)} other packages.
- **A circuit of RY, RZ and CNOT** is {_range(second)} times as fast as the fastest of them.
- **Its memory** is at most {math.ceil(1e3 * memory) / 1e3:.1%} of that package's.
- **A training step** of SmolLM2-135M takes {_range(steps)} times as long as with PEFT's LoRA of the same rank.
- **Generation** reaches {_range(tokens)} of the tokens per second of unmerged LoRA."""


def _machine(runs: Sequence[dict[str, Any]]) -> str:
    machine = runs[0]["machine"]
    others = max(one["cpu_by_others"] for run in runs for one in run["load"].values())
    dates = sorted({when["date"][:10] for run in runs for when in run["measured"].values()})
    return f"""## How it was measured

Both sides run in turns, in one process or in two, and a ratio is one of medians or the median of ratios. Every other
package first proves that it computes the same values and gradients (`python -m benchmarks.peers.verify`).

- {machine["cpu"]}, {machine["cores"]} cores, {machine["vectors"]}, float32; {" and ".join(dates)};
- {", ".join(f"{name} {machine[key]}" for name, key in VERSIONS.items())};
- other processes took at most {share_said(others)} of the processors.

`make bench` measures everything and writes this page. All numbers, with the commit of each part, are in
`benchmarks/results/full.json`."""


VERSIONS = {"Python": "python", "PyTorch": "torch", "transformers": "transformers", "PEFT": "peft"}
GROUPS = {
    "recorded circuit, 4 to 10 qubits: times as fast as the fastest other": ("circuit n", "fast"),
    "recorded circuit: its peak memory, times the other's": ("circuit n", "peak memory"),
    "hardware-efficient circuit: times as fast as the fastest other": ("hardware_efficient", "fast"),
    "hardware-efficient circuit: its peak memory, times the other's": ("hardware_efficient", "peak memory"),
    "step, r = 4: times LoRA's": ("training step r4",),
    "step, r = 8: times LoRA's": ("training step r8",),
    "step, all linear layers: times LoRA's": ("training step all",),
    "peak memory of a step, q and v: times LoRA's": ("peak memory r",),
    "peak memory of a step, all linear layers: times LoRA's": ("peak memory all",),
    "generation, r = 4: times LoRA's tokens per second": ("generation r4",),
    "generation, r = 8: times LoRA's tokens per second": ("generation r8",),
    "contraction in a step of a 7B model, its share": ("contraction",),
}
"""Rows of the table of targets, each with what the names of its targets contain."""


def _targets(runs: Sequence[dict[str, Any]]) -> str:
    """The targets in groups: the worst and the best measured number, and how many numbers miss the target."""
    every = [row for run in runs for row in targets(run)]
    rows = []
    for name, words in GROUPS.items():
        group = [row for row in every if all(word in row[0] for word in words)]
        if not group:
            continue
        values = [row[1] for row in group]
        missed, near = (sum(row[4] == verdict for row in group) for verdict in ("missed", "within its spread"))
        verdict = f"**missed** by {missed} of {len(group)}" if missed else "met"
        verdict += f", {near} within their spread" if near else ""
        rows.append((name, f"{group[0][2]} {group[0][3]:g}", _range(values), verdict))
    return f"""## Targets

A number is within its spread if it is nearer to the target than the rounds are to each other; it then counts as met.

{table(("what", "target", "measured", ""), rows)}"""


def _circuit(results: dict[str, Any]) -> str:
    found = results["circuit"]
    rows = []
    for name, one in found["shapes"].items():
        kind, qubits, tokens = _parts(name)
        fastest, memory = _memory(one)
        rows.append(
            (
                kind,
                qubits,
                tokens,
                1e3 * one["seconds"]["qweft"],
                PEERS[fastest],
                one["speedup"][fastest],
                f"{memory:.2%}",
            )
        )
    versions = sorted({each for version in found["versions"].values() for each in version.split(", ") if each})
    return f"""## The circuit against other packages

Forward and backward with {found["threads"]} threads, as many layers as qubits. The recorded circuit has RY and CRZ. The
hardware-efficient one has RY, RZ and a ring of CNOTs. {_packages(found)} packages were raced, each in its
fastest documented modes.

{table(("circuit", "qubits", "rows", "Qweft, ms", "fastest other", "times as fast", "memory"), rows)}

With ten qubits or 4,096 rows the {FINALISTS} fastest at 8 qubits were timed.

Versions:
{", ".join(versions)}."""


def _parts(shape: str) -> tuple[str, int, int]:
    """Return circuit, qubits and tokens of a shape's name."""
    found = re.fullmatch(r"(he_)?n(\d+)_L\d+_T(\d+)", shape)
    assert found is not None
    return "hardware-efficient" if found[1] else "recorded", int(found[2]), int(found[3])


def _packages(found: dict[str, Any]) -> int:
    """Return how many packages were raced: one may have several modes."""
    return len({PEERS[peer].partition(",")[0] for peer in found["versions"] if peer in PEERS})


def _step(results: dict[str, Any]) -> str:
    step, rival = results["step"], results["rival"]
    rows = [
        (name, one["method"], step["seconds"][name], one["vs_lora"], one["memory_vs_lora"])
        for name, one in step.items()
        if isinstance(one, dict) and "memory_vs_lora" in one
    ]
    other = (
        "" if "left_out" in rival else f" The package `quantum-adapter` takes {rival['vs_lora']:.3g} times LoRA's step."
    )
    return f"""## A training step

SmolLM2-135M in float32, 4 rows of 128 tokens, q_proj and v_proj or all linear layers, width 256 and bond 8; presets
have 16 and 4.{other}

{table(("what", "method", "seconds", "times LoRA's step", "times LoRA's memory"), rows)}"""


def _limits(results: dict[str, Any]) -> str:
    contraction = results["contraction_7b"]["measured"]["share"]
    return f"""## What limits it

- **The circuit** costs 20 n + 50 multiply-adds for each amplitude, layer and token, forward and backward. From 6 qubits
  on the kernels reach 84% of the speed of a matrix product (`python -m benchmarks.overhead`).
- **Few qubits** wait for 0.2 ms of PyTorch's graph at each call.
- **A token** spends 1.4 ms on a look at all parameters for changes, which PyTorch's version counters do not all catch.
- **The peak** of a process counts Numba and LLVM, which compile the circuit: 127 MiB.
- **Contracting** the operators of a 7B model takes {contraction:.2%} of a step."""


def _growth() -> str:
    found = saved("growth")["series"]
    tokens, blocks = (next(one for name, one in found.items() if name.startswith(of)) for of in ("tokens (s", "blocks"))
    alt = "Time and peak memory over qubits, layers, tokens, rank, blocks and hidden size"
    return f"""## How time and memory grow

{_pictures("growth", alt)}

A step grows with the power {tokens["exponent"]:.2f} of the tokens and {blocks["exponent"]:.2f} of the blocks
(`python -m benchmarks.growth`)."""


def _large() -> str:
    cells = [one for one in saved("large")["1.5b"].values() if isinstance(one, dict) and "memory_ratio" in one]
    memory, step = (
        math.ceil(1e3 * max(abs(one[key] - 1) for one in cells if one.get(key))) / 1e3
        for key in ("memory_ratio", "time_ratio")
    )
    return f"""## Large models

- **`qweft plan`** foretells memory within {memory:.1%} and the time of a step within {step:.1%}: a model of
  Qwen2.5-1.5B's shape, in bfloat16 and 4 bits, with LoRA and `qtha` (`python -m benchmarks.large`).
- **On paper**, a 7B model with the record's adapter (`configs/paper-7b.yaml`) takes 45.7 GB, of which the weights take
  15.2. In 4 bits the weights take a quarter. `gradient_checkpointing` leaves the activations of one block."""


def _bases() -> str:
    found = saved("fixed-bases-speed")["costs"]
    now, lora = found["now"], found["lora_down"]
    return f"""## Fixed bases

The preset `sparse` first searches its directions, which takes as long as {now["search_in_steps"]:.2f} steps. A step
takes {now["step_seconds"] / lora["step_seconds"]:.2f} times LoRA's of rank 1, and the file has \
{now["file_bytes"] / 1e6:.1f} MB (`python -m benchmarks.bases`)."""


if __name__ == "__main__":
    write_page()
