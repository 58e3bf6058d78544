"""A whole training step of the embedded model, batch 4 x 128, and its peak memory: against LoRA of equal rank.

python -m benchmarks.step                  the times, alternating in this process
python -m benchmarks.step --memory qtha 4 4    the peak of one method, in a process of its own
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.adapted import adapted, batch
from benchmarks.memory import peak_of
from benchmarks.rounds import alternate, medians, spread

TARGETS = {"r4_L4": ("qtha", 4, 4), "r8_L8": ("qtha", 8, 8)}
OTHERS = {f"{kind}_r{r}_L{r}": (kind, r, r) for kind in ("qwthn", "mpo") for r in (4, 8)}


def step_of(kind: str, r: int, layers: int) -> Callable[[], Any]:
    """One step: forward, backward, AdamW. For "base" forward and backward to the input embeddings, nothing trained."""
    model = adapted(kind, r, layers).train()
    ids = batch(4, 128)
    if kind == "base":
        embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
        return lambda: model(inputs_embeds=embeddings, labels=ids).loss.backward()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def peak(kind: str, r: int, layers: int) -> tuple[int, int]:
    """Peak of resident memory during three steps, in all and above what was resident, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.step", "--memory", kind, str(r), str(layers)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    whole, rise = json.loads(found.stdout.splitlines()[-1])
    return whole, rise


def measure(rounds: int, everything: bool) -> dict[str, Any]:
    """Times and peaks of each method, and their ratios to LoRA of the same rank."""
    methods = dict(TARGETS)
    if everything:
        methods |= OTHERS
    subjects = {f"lora_r{r}": step_of("lora", r, 1) for r in (4, 8)}
    subjects |= {name: step_of(*method) for name, method in methods.items()}
    if everything:
        subjects["base"] = step_of("base", 0, 0)
    seconds = alternate(subjects, rounds)
    typical = medians(seconds)
    loras = {r: peak("lora", r, 1) for r in (4, 8)}
    found: dict[str, Any] = {
        "seconds": typical,
        "spread": {name: spread(each) for name, each in seconds.items()},
        "lora_peak_bytes": {f"r{r}": whole for r, (whole, _) in loras.items()},
    }
    for name, (kind, r, layers) in methods.items():
        whole, rise = peak(kind, r, layers)
        found[name] = {
            "method": kind,
            "vs_lora": typical[name] / typical[f"lora_r{r}"],
            "spread": spread(seconds[name]) + spread(seconds[f"lora_r{r}"]),
            "memory_vs_lora": whole / loras[r][0],
            "rise_vs_lora": rise / loras[r][1],
        }
    return found


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", nargs=3, metavar=("KIND", "R", "LAYERS"))
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if given.memory:
        kind, r, layers = given.memory
        step = step_of(kind, int(r), int(layers))
        step()
        print(json.dumps(peak_of(lambda: [step() for _ in range(3)])))
    else:
        print(json.dumps(measure(given.rounds, everything=True), indent=2))


if __name__ == "__main__":
    main()
