"""All benchmarks, or with --quick those that the targets are about (ten minutes on two cores).

    python -m benchmarks.run --quick          (make bench-quick)
    python -m benchmarks.run                  (make bench; also writes docs/benchmarks.md)
    python -m benchmarks.run --part step      (one part again, as where others shared the machine)

Every number is a ratio of medians, both sides timed alternately in one run. Results land in benchmarks/results.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from benchmarks import circuit, contraction, generation, layer, report, rival, step
from benchmarks.peers.client import ALLOCATOR
from benchmarks.peers.rows import CIRCUITS

from qweft.core.environment import LoadMeter, environment, share_said
from qweft.core.files import write_json

RESULTS = Path(__file__).parent / "results"
TOKENS = {4: 4096, 6: 4096, 8: 512, 10: 512}
"""For each number of qubits the tokens of a usual training step, as far as the other packages' memory allows."""
FASTEST = ("qweft", "tensorcircuit_jax", "pennylane_jax", "tensorcircuit_torch", "pennylane_torch")
"""What --quick times: the packages that are fastest at one size or another in a full run, and PennyLane in PyTorch."""


QUICK = ("step", "generation", "contraction_7b", "circuit")
"""The parts that the targets are about."""


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    found = environment(model_origin="", data_fingerprint="", command="")
    kept = ("qweft", "torch", "transformers", "peft", "python", "platform", "cpu", "threads", "date", "git_commit")
    has = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    vectors = next((name for name in ("avx512f", "avx2", "asimd") if name in has), "unknown")
    return {**{key: found[key] for key in kept}, "cores": len(os.sched_getaffinity(0)), "vectors": vectors}


def shapes(everything: bool) -> list[circuit.Shape]:
    """Circuit, qubits, layers L = n, and rows: the usual ones of the recorded circuit, or all of both."""
    few = circuit.FEW_TOKENS
    if not everything:
        wanted = [(n, few) for n in TOKENS] + [(n, tokens) for n, tokens in TOKENS.items() if tokens != few]
        return [("recorded", n, n, tokens) for n, tokens in wanted]
    return [(name, n, n, tokens) for tokens in (few, 4096) for n in TOKENS for name in CIRCUITS]


def keep_heap() -> None:
    """Start again with an allocator that keeps its memory, as the peers have it (see `peers/client.py`).

    A training step allocates gigabytes. Given back and asked for anew, the pages can cost more than the computing: on a
    virtual machine a step of LoRA took between 1.7 and 30 s.
    """
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.run", *sys.argv[1:]], {**os.environ, **ALLOCATOR})


Part = tuple[str, Callable[[], dict[str, Any]]]
"""What is measured, and the call that does it."""


def parts(everything: bool) -> dict[str, Part]:
    """The parts of a run by the name of their results."""
    peers = circuit.all_peers() if everything else FASTEST
    found: dict[str, Part] = {
        "circuit": (  # first, while this process is small: the packages need the memory
            "the circuit against other packages (their environments are made when first asked for)",
            lambda: circuit.compare(peers, shapes(everything), rounds=5),
        ),
        "step": ("training step of the embedded model, and its peak memory", lambda: step.measure(7, everything)),
        "generation": ("generation", lambda: generation.measure(5, everything)),
        "contraction_7b": ("contraction of the operators of a 7B model", lambda: contraction.measure(rounds=5)),
        "rival": ("the rival package that generates weights from a circuit", lambda: rival.measure(rounds=5)),
        "layer": ("one adapted layer", lambda: layer.measure(rounds=15)),
    }
    return {name: part for name, part in found.items() if everything or name in QUICK}


def summary_of(results: dict[str, Any], everything: bool) -> dict[str, Any]:
    """What the targets are about."""
    contracted = results["contraction_7b"]
    tokens = dict.fromkeys(TOKENS, max(TOKENS.values())) if everything else TOKENS
    return {
        "load": results["load"],
        "circuit": circuit.summary_of(results["circuit"], tokens),
        "hardware_efficient": circuit.summary_of(results["circuit"], tokens, "hardware-efficient")
        if everything
        else {},
        "step": {name: results["step"][name] for name in step.TARGETS},
        "generation": {
            shape: {"vs_lora": found["vs_lora"]["qtha"], "spread": found["spread"]["qtha"]}
            for shape, found in results["generation"].items()
        },
        "contraction_7b": {
            "computed_share": contracted["computed"]["share"],
            "measured_share": contracted["measured"]["share"],
        },
        "machine": results["machine"],
        "measured": results["measured"],
    }


def main() -> None:
    """Measure, print, and write the results, also after each part, so that a stop loses one at most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only what the targets are about")
    parser.add_argument("--part", action="append", default=[], help="measure this part again, keep the saved others")
    given = parser.parse_args()
    everything, start = not given.quick, time.monotonic()
    known = parts(everything)
    if strange := sorted({*given.part} - {*known}):
        parser.error(f"there is no part {strange[0]!r}; parts: {', '.join(known)}")
    keep_heap()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    path = RESULTS / ("full.json" if everything else "quick.json")
    RESULTS.mkdir(exist_ok=True)
    results: dict[str, Any] = {"load": {}}
    if given.part:
        results = json.loads(path.read_text())
    results["machine"] = machine()  # before anything else, for the code may change while this runs

    def say(what: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {what}", flush=True)

    for name, (what, call) in known.items():
        if given.part and name not in given.part:
            continue
        say(what)
        meter = LoadMeter()  # the peers' processes belong to the measurement
        results[name] = call()
        load = results["load"][name] = asdict(meter.read())
        say(f"  CPU taken by others: {share_said(load['cpu_by_others'])}")
        when = {key: results["machine"][key] for key in ("date", "git_commit")}
        results.setdefault("measured", {})[name] = when
        write_json(path, results)
    summary = summary_of(results, everything)
    write_json(RESULTS / ("summary.json" if everything else "again.json"), summary)
    if everything:
        report.write_page()
    say("done")
    print(json.dumps(summary, indent=2))
    print(report.verdicts(summary))


if __name__ == "__main__":
    main()
