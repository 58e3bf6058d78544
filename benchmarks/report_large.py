"""The sections of docs/benchmarks.md on fixed bases and large models: what was measured, and what follows on paper."""

import json
import math
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
BASES = Path(__file__).parents[1] / "benchmarks/results/fixed-bases-speed.json"
TOKENS = 4 * 1024
"""Tokens of a batch of configs/paper-7b.yaml."""
WEIGHTS, TRAINED = 7_615_616_512, 772_800
"""Parameters of the 7B model, and of its adapter by `qweft plan configs/paper-7b.yaml`."""
MACHINES = 100
OWN_LOAD = 2.5
"""Load average that a measurement with two threads makes itself, at most."""


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def fixed_bases() -> str:
    """The search, the file and the loss of the preset sparse."""
    found = _read(BASES)
    if "now_minus_before" not in found:
        return ""
    before, now, lora = (found["costs"][name] for name in ("before", "now", "lora_down"))
    loss, time = found["now_minus_before"], found["now_minus_lora_down"]
    seeds = len({each["seed"] for each in found["trainings"]})
    steps = {each["method"]: each["steps"] for each in found["trainings"]}
    return f"""## Fixed bases

<!-- not run: it trains for half an hour -->

    python -m benchmarks.bases --loss

The preset `sparse` on SmolLM2-135M, 4 rows of dialogues a step, one thread, processor times; "before" is 32 directions
in bfloat16 found on 16 rows. Raw numbers are in `benchmarks/results/fixed-bases-speed.json`.

| what | before | now |
| --- | --- | --- |
| search before the first step, in steps | {before["search_in_steps"]:.2f} | {now["search_in_steps"]:.2f} |
| file, bytes | {before["file_bytes"]:,} | {now["file_bytes"]:,} |
| a step, times LoRA's of rank 1 on down_proj | {before["step_seconds"] / lora["step_seconds"]:.2f} | \
{now["step_seconds"] / lora["step_seconds"]:.2f} |

- "Before" already finds leading directions alone. With all eigenvectors of each layer its search took 12 steps.
- The file is {100 * found["file_share"]:.1f}% of what it was. Directions in 4 bits take two thirds of it, trained
  numbers a quarter, and names most of the rest.
- **Loss** after {steps["now"]} steps on validation rows, now minus before, {seeds} seeds: {loss["mean"]:+.3f}
  (standard error {loss["standard_error"]:.3f}).
- **Equal time**: {steps["lora_down"]} steps of LoRA of rank 1 on down_proj take as long, the search included. The loss
  differs by {time["mean"]:+.3f} (standard error {time["standard_error"]:.3f}), so neither is shown better.
- The load of the machine was {found["load_average"]:.1f}."""


ALT = "Time and peak memory over qubits, layers, tokens, rank, blocks and hidden size, relative to the smallest size"


def growth() -> str:
    """The picture of growth, with the fitted exponents."""
    found = _read(RESULTS / "growth.json")
    if not found:
        return ""
    rows = "\n".join(
        f"| {name} | {one['of']}^{one['exponent']:.2f} | {one['of']}^{one['memory_exponent']:.2f} |"
        for name, one in found["series"].items()
    )
    load = found["load_average"]
    return f"""## How time and memory grow

<!-- not run: it measures for some minutes -->

    python -m benchmarks.growth

![{ALT}](pictures/growth-light.svg#only-light)
![{ALT}](pictures/growth-dark.svg#only-dark)

Exponents are fitted to the larger half of the sizes (`benchmarks/results/growth.json`). The load of the machine was
{load:.1f}{", so exponents of time are rough" if load > OWN_LOAD else ""}.

| series | time as | memory as |
| --- | --- | --- |
{rows}"""


def large() -> str:
    """A model of 1.5 B parameters, and on paper 7 B and a hundred machines."""
    gradient = 4 * TRAINED
    exchanged = 2 * (MACHINES - 1) / MACHINES * gradient
    work = 4 * WEIGHTS * TOKENS
    cells = _read(RESULTS / "large.json").get("1.5b", {})
    found = {name: each for name, each in cells.items() if isinstance(each, dict) and "memory_ratio" in each}
    rows = "\n".join(
        f"| {name} | {each['foretold']['total'] / 2**30:.2f} | {each['measured']['total'] / 2**30:.2f} | "
        f"{each['memory_ratio']:.2f} | {_ratio(each)} |"
        for name, each in found.items()
    )
    table = f"""

| weights, adapter | foretold, GiB | measured, GiB | memory, ratio | step, ratio |
| --- | --- | --- | --- | --- |
{rows}"""
    return f"""## Large models

<!-- not run: it trains for ten minutes -->

    python -m benchmarks.large

A model of Qwen2.5-1.5B's shape with random weights, in bfloat16 and in bitsandbytes' 4 bits, rows of 2 x 128 tokens,
against `qweft plan`.{table if rows else " It was not measured on this machine yet."}

{_within(found)} On a CPU with AVX512_BF16 bitsandbytes
packs 4-bit weights anew for each evaluation. `qweft train` takes that back before a step; without it memory was 1.31
times what was foretold.

`qweft plan` traces the base model's forward pass with shapes alone and adds up what it stores for the backward pass. On
a small model that count is equal to that of a real pass (`tests/training/test_footprint.py`).

**On paper, the 7B of the method's record** (`configs/paper-7b.yaml`: {TRAINED:,} trained numbers, 4 x 1024 tokens a
batch, bfloat16):

- Memory by `qweft plan`: 15.2 GB of weights, 12 MB of adapter and optimizer, 23.0 GB of activations, 7.5 GB of logits,
  45.7 GB in all. In 4 bits the weights take about a quarter; `gradient_checkpointing` leaves one block's activations.
- Work: forward 2, and backward through frozen weights 2 operations a weight and token. 4 x {WEIGHTS / 1e9:.2f} x 10^9
  x {TOKENS:,} = {work / 1e12:.0f} x 10^12 a batch. That is {work / 2e14:.1f} s at 2 x 10^14 operations a second.
- **{MACHINES} machines** with a share of the rows each exchange the adapter's gradients alone: {TRAINED:,} x 4 bytes =
  {gradient / 1e6:.1f} MB. A ring sends 2 ({MACHINES} - 1) / {MACHINES} of it from each machine:
  {exchanged / 1e6:.1f} MB a step, {exchanged / 1.25e6:.0f} ms at 10 Gbit/s.
  For gradients of all weights in bfloat16 it would send {2 * (MACHINES - 1) / MACHINES * 2 * WEIGHTS / 1e9:.0f} GB."""


def _within(found: dict[str, Any]) -> str:
    """How far memory and time are from what was foretold."""
    said = []
    for name, what in (("memory_ratio", "Memory is foretold"), ("time_ratio", "the seconds of a step")):
        off = [abs(each[name] - 1) for each in found.values() if each.get(name)]
        if off:
            said.append(f"{what} within {math.ceil(1e3 * max(off)) / 1e3:.1%}")
    return f"{', '.join(said)} (two steps each)." if said else ""


def _ratio(each: dict[str, Any]) -> str:
    return f"{each['time_ratio']:.2f}" if each.get("time_ratio") else "-"
