"""A whole training step of the embedded model, batch 4 x 128, and its peak memory: against LoRA of equal rank.

python -m benchmarks.step                  the times, alternating in this process
python -m benchmarks.step --memory METHOD    the peak of one method, in a process of its own
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from benchmarks.adapted import MODULES, RECORDED, adapted, batch
from benchmarks.memory import peak_of
from benchmarks.rounds import alternate, medians, spread


class Method(NamedTuple):
    """An adapter: kind, rank r, layers L of its circuit, sizes of its operators, and the adapted modules."""

    kind: str
    r: int
    layers: int
    sizes: dict[str, int]
    modules: Any = MODULES


BASE = Method("base", 4, 0, {})
LINEAR = "all-linear"
TARGETS: dict[str, Method] = {
    "r4_L4": Method("qtha", 4, 4, RECORDED),
    "r8_L8": Method("qtha", 8, 8, RECORDED),
    "all_linear": Method("qtha", 4, 4, RECORDED, LINEAR),
}
OTHERS: dict[str, Method] = {
    "mpo_r4_L4": Method("mpo", 4, 4, RECORDED),
    "base": BASE,
    "mpo_r8_L8": Method("mpo", 8, 8, RECORDED),
    **{f"qwthn_r{r}_L{r}": Method("qwthn", r, r, RECORDED) for r in (4, 8)},
    **{f"preset_{kind}": Method(kind, 4, 4, {}) for kind in ("qtha", "qwthn", "mpo")},
}
"""The first ones are timed beside the targets, for what limits a step."""


def rival_of(method: Method) -> Method:
    """LoRA of the same rank on the same layers."""
    return Method("lora", method.r, 1, {}, method.modules)


def name_of(lora: Method) -> str:
    """The name of a rival in the results."""
    return f"lora_r{lora.r}" + ("_all_linear" if lora.modules == LINEAR else "")


def step_of(method: Method) -> Callable[[], Any]:
    """One step: forward, backward, AdamW. For "base" forward and backward to the input embeddings, nothing trained."""
    model = adapted(method.kind, method.r, method.layers, method.modules, **method.sizes).train()
    ids = batch(4, 128)
    if method.kind == "base":
        embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
        return lambda: model(inputs_embeds=embeddings, labels=ids).loss.backward()
    # fused, as in training
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, fused=True)

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def at_a_time(methods: dict[str, Method]) -> list[list[str]]:
    """Names of methods of one rival that are timed in turns: rounds of many last a minute, and the machine changes."""
    by_rival: dict[str, list[str]] = {}
    for name, method in methods.items():
        by_rival.setdefault(name_of(rival_of(method)), []).append(name)
    return [names[start : start + 3] for names in by_rival.values() for start in range(0, len(names), 3)]


def peak(method: Method) -> tuple[int, int]:
    """Peak of resident memory during three steps, in all and above what was resident, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.step", "--memory", json.dumps(method)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    whole, rise = json.loads(found.stdout.splitlines()[-1])
    return whole, rise


def measure(rounds: int, everything: bool) -> dict[str, Any]:
    """Times and peaks of each method, and their ratios to LoRA of the same rank on the same layers."""
    methods = TARGETS | (OTHERS if everything else {})
    peaks = {name: peak(lora) for name, lora in {name_of(rival_of(m)): rival_of(m) for m in methods.values()}.items()}
    times: dict[str, list[float]] = {}
    found: dict[str, Any] = {"lora_peak_bytes": {name: whole for name, (whole, _) in peaks.items()}}
    for names in at_a_time(methods):
        rival = rival_of(methods[names[0]])
        lora = name_of(rival)
        seconds = alternate({lora: step_of(rival), **{name: step_of(methods[name]) for name in names}}, rounds)
        for each, taken in seconds.items():
            times.setdefault(each, []).extend(taken)
        for name in names:
            method = methods[name]
            ratios = [one / other for one, other in zip(seconds[name], seconds[lora], strict=True)]
            found[name] = {"method": method.kind, "vs_lora": statistics.median(ratios), "spread": spread(ratios)}
            if method != BASE:
                whole, rise = peak(method)
                found[name] |= {"memory_vs_lora": whole / peaks[lora][0], "rise_vs_lora": rise / peaks[lora][1]}
    return found | {"seconds": medians(times), "spread": {name: spread(taken) for name, taken in times.items()}}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", metavar="METHOD", help="a Method as JSON")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if given.memory:
        step = step_of(Method(*json.loads(given.memory)))
        step()
        print(json.dumps(peak_of(lambda: [step() for _ in range(3)])))
    else:
        print(json.dumps(measure(given.rounds, everything=True), indent=2))


if __name__ == "__main__":
    main()
