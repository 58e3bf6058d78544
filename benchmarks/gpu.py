"""Tests and benchmark on a GPU, for at most ten minutes: `make gpu`. Its numbers go to benchmarks/results/gpu.json.

    python -m benchmarks.gpu                                         on the first CUDA device
    python -m benchmarks.gpu --device cpu --tiny --output DIR        a rehearsal, whose numbers mean nothing

It needs PyTorch, transformers, PEFT and pytest, and no package index: `make gpu-pack` packs the rest. Untar the pack on
the machine with the GPU, run `make gpu` in its folder, copy benchmarks/results/gpu.json back and run
`python -m benchmarks.report`. Models have random weights of the shapes of SmolLM2-135M and Qwen2.5-7B. A part that does
not end in time is cut off, and the page says so.
"""

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_clock import ROUNDS, Clock, against

ROOT = Path(__file__).resolve().parents[1]
BUDGET = 540
"""Seconds in all; the rest of ten minutes is for starting and ending."""
SHARES = {"kernels": 3, "tests": 7, "circuit": 2, "step 135M": 3, "generation": 4, "step 7B": 5}
"""Parts in their order, with shares of the time that is left when each of them starts."""
NEEDS = """make gpu needs a CUDA device, and {why}: it would run the tests marked gpu, time training steps, \
generation and circuits for at most ten minutes and write benchmarks/results/gpu.json; `make gpu-pack` packs what a \
machine with a GPU, PyTorch and transformers lacks (the source, PEFT, pytest) into less than 60 MiB."""


class Program:
    """The parts, each given until when it may take time.

    Args:
        device: The device.
        tiny: Whether sizes are those of a rehearsal.
    """

    def __init__(self, device: Any, tiny: bool) -> None:
        from benchmarks import gpu_models

        self.device, self.tiny, self.clock = device, tiny, Clock(device, 3 if tiny else ROUNDS)
        self.models = gpu_models
        self.shapes = gpu_models.TINY if tiny else gpu_models.SHAPES
        self.parts: dict[str, Callable[[float], dict[str, Any]]] = {
            "kernels": self.kernels,
            "tests": self.tests,
            "circuit": self.circuit,
            "step 135M": partial(self.step, "135M"),
            "generation": self.generation,
            "step 7B": partial(self.step, "7B"),
        }

    def kernels(self, until: float) -> dict[str, Any]:
        """Compile the kernels in several processes: later parts find them in Triton's cache."""
        sizes = (2,) if self.tiny else tuple(range(12, 0, -1))
        tasks = [f"{qubits}:{dtype}" for qubits in sizes for dtype in ("float64", "float32")]

        def compiled(task: str) -> float | None:
            left = until - time.monotonic()
            command = [sys.executable, "-m", "benchmarks.gpu", "--device", str(self.device), "--compile", task]
            try:
                subprocess.run(command, cwd=ROOT, env=child_environment(), check=True, timeout=max(1.0, left))
            except (subprocess.SubprocessError, OSError):
                return None
            return time.monotonic() - start

        start = time.monotonic()
        with ThreadPoolExecutor(max(1, min(12, (os.cpu_count() or 2) - 1))) as pool:
            done = dict(zip(tasks, pool.map(compiled, tasks), strict=True))
        return {"seconds": time.monotonic() - start, "missing": [task for task, at in done.items() if at is None]}

    def tests(self, until: float) -> dict[str, Any]:
        """Run the tests marked gpu; at the end of their time they are interrupted, and what came before counts."""
        places = ["tests/gpu/test_engine.py"] if self.tiny else ["tests/gpu", "tests/circuit/test_fused.py"]
        chosen = ["-k", "same_sums"] if self.tiny else []
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            plain = ["-q", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}"]
            command = [sys.executable, "-m", "pytest", *places, "-m", "gpu", *plain, *chosen]
            environment = child_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            if self.device.type == "cpu":
                environment["CUDA_VISIBLE_DEVICES"] = ""
            child = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            cut = False
            try:
                printed, _ = child.communicate(timeout=max(1.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                cut = True
                child.send_signal(signal.SIGINT)
                try:
                    printed, _ = child.communicate(timeout=15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    printed, _ = child.communicate()
            print(printed[-6000:], flush=True)
            if not report.is_file():
                raise RuntimeError(f"pytest made no report: {printed[-300:].strip()}")
            return {"cut": cut, "exit": child.returncode, **outcome_of(report), "end": printed[-3000:]}

    def circuit(self, until: float) -> dict[str, Any]:
        """Time circuits of 4 to 10 qubits, forward and backward, by the fused kernels and by PyTorch's operations."""
        cases = [(4, 8)] if self.tiny else [(n, tokens) for tokens in (4096, 512) for n in range(4, 11)]
        found: dict[str, Any] = {}
        for place, (qubits, tokens) in enumerate(cases):
            now = time.monotonic()
            if found and now > until:
                break
            paths = self.models.circuit_paths(qubits, tokens, self.device)
            part = now + (until - now) / (len(cases) - place)
            seconds = self.clock.alternate(paths, part, repeats=1 if self.tiny else 10)
            one = against(seconds, next(iter(paths)))
            for name, call in paths.items():
                one[name]["peak"] = self.clock.peak_bytes(call)
            found[f"n{qubits}_T{tokens}"] = one
        left = [f"n{qubits}_T{tokens}" for qubits, tokens in cases if f"n{qubits}_T{tokens}" not in found]
        return {"shapes": found, "cut": left}

    def step(self, name: str, until: float) -> dict[str, Any]:
        """Time a training step of LoRA and of each preset, and take the rise of memory in one."""
        import torch

        shape = self.shapes[name]
        free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else 0
        layers = self.models.layers_that_fit(shape, free) if free else shape.layers
        base = self.models.base_model(shape, self.device, layers)
        sizes = ((4, 4),) if self.tiny else ((8, 8), (4, 4))
        found: dict[str, Any] = {"layers": layers, "whole": shape.layers, "rows": shape.rows, "length": shape.length}
        for place, (r, depth) in enumerate(sizes):
            subjects, states = {}, {}
            for kind in ("lora_of_peft", "base", *self.models.PRESETS):
                subjects[kind], states[kind] = self.models.step_of(base, shape, kind, r, depth)
            now = time.monotonic()
            seconds = self.clock.alternate(subjects, now + (until - now) / (len(sizes) - place))
            rows = against(seconds, "lora_of_peft")
            weights = sum(parameter.nbytes for parameter in base.parameters())
            for kind, call in subjects.items():
                rise = self.clock.peak_bytes(call)
                rows[kind]["peak"] = None if rise is None else weights + states[kind] + rise
            found[f"r{r}_L{depth}"] = rows
        return found

    def generation(self, until: float) -> dict[str, Any]:
        """Time generation with r = 4, L = 4 at batches of 1, 8 and 32."""
        shape, tokens = self.shapes["135M"], 4 if self.tiny else 24
        base = self.models.base_model(shape, self.device, shape.layers)
        batches = (1, 2) if self.tiny else (1, 8, 32)
        found: dict[str, Any] = {"tokens": tokens, "batches": {}}
        for place, rows in enumerate(batches):
            now = time.monotonic()
            if place and now > until:
                break
            kinds = ("lora_of_peft", "base", *self.models.PRESETS)
            subjects = {kind: self.models.generation_of(base, shape, kind, rows, tokens) for kind in kinds}
            seconds = self.clock.alternate(subjects, now + (until - now) / (len(batches) - place))
            found["batches"][str(rows)] = against(seconds, "lora_of_peft")
        return found

    def run(
        self, budget: float, say: Callable[[str], None], keep: Callable[[dict[str, Any]], None] = lambda results: None
    ) -> dict[str, Any]:
        """Run all parts; one that fails is told of, and does not stop the others.

        Args:
            budget: Seconds in all.
            say: Called with the name of a part that begins.
            keep: Called with the results after each part, so that something is left if this is ended from outside.
        """
        from qweft.core.environment import LoadMeter

        end = time.monotonic() + budget
        results: dict[str, Any] = {name: {"failed": "it was not begun"} for name in self.parts}
        for name, part in self.parts.items():
            now, names = time.monotonic(), list(SHARES)
            later = sum(SHARES[each] for each in names[names.index(name) :])
            if now > end:
                results[name] = {"failed": "no time was left"}
                continue
            say(name)
            meter = LoadMeter()
            try:
                results[name] = part(now + (end - now) * SHARES[name] / later)
            except Exception as error:  # another part may still succeed, and this runs where no one waits
                traceback.print_exc()
                results[name] = {"failed": f"{type(error).__name__}: {str(error)[:500]}"}
            results[name]["load"] = asdict(meter.read())
            results[name]["took"] = time.monotonic() - now
            keep(results)
            gc.collect()
            if self.device.type == "cuda":
                import torch

                torch.cuda.empty_cache()
        return results


def outcome_of(report: Path) -> dict[str, Any]:
    """Return the counts of a report of pytest, and the names of tests that failed or were left out, with reasons."""
    counts: dict[str, Any] = {"passed": 0, "failed_tests": [], "left_out": {}}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag: child for child in case}
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        if "failure" in kinds or "error" in kinds:
            counts["failed_tests"].append(name)
        elif "skipped" in kinds:
            why = kinds["skipped"].get("message", "")
            counts["left_out"][why] = counts["left_out"].get(why, 0) + 1
        else:
            counts["passed"] += 1
    return counts


def child_environment() -> dict[str, str]:
    """Return the environment of a child, which finds the same packages as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), *packed()])}


@lru_cache(maxsize=1)  # once they are in the path, this machine has them
def packed() -> tuple[str, ...]:
    """Return the folders of packed packages of which this machine has none, or one that does not fit (`pack_gpu`)."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["test"])]
    wanted = {each.name: each.specifier for each in asked}
    found = []
    for folder in sorted(path for path in (ROOT / "packed").glob("*") if path.is_dir()):
        try:
            version = importlib.metadata.version(folder.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        if not version or (folder.name in wanted and not wanted[folder.name].contains(version, prereleases=True)):
            found.append(str(folder))
    return tuple(found)


def machine(device: Any) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    import torch

    from qweft.core.environment import environment

    found = environment(model_origin="random weights", data_fingerprint="", command="", device=str(device))
    kept = ("qweft", "torch", "transformers", "peft", "python", "platform", "cpu", "cores", "device_name", "date")
    packed = ROOT / "packed" / "commit"
    commit = packed.read_text().strip() if packed.is_file() else found["git_commit"]
    triton = importlib.util.find_spec("triton")
    here = {**{key: found[key] for key in kept}, "git_commit": commit, "cuda": torch.version.cuda}
    here["triton"] = __import__("triton").__version__ if triton else None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        free, whole = torch.cuda.mem_get_info(device)
        here |= {"memory": whole, "taken_by_others": whole - free, "processors": properties.multi_processor_count}
        here["driver"] = _driver()
    return here


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def compile_one(task: str, device: Any) -> None:
    """Compile the kernels of "qubits:dtype" by a run on one token."""
    import torch

    from qweft.circuit import crz_ring_ansatz, expectation_values

    qubits, _, dtype = task.partition(":")
    circuit = crz_ring_ansatz(int(qubits), 1)
    inputs = torch.zeros(1, circuit.inputs, dtype=getattr(torch, dtype), device=device, requires_grad=True)
    expectation_values(circuit, inputs, inputs.new_zeros(circuit.parameters)).sum().backward()


def why_not() -> str | None:
    """Return why there is nothing to run on; `None` if there is a CUDA device."""
    for package in ("torch", "transformers", "accelerate"):
        if importlib.util.find_spec(package) is None:
            return f"this Python ({sys.executable}) has no {package}"
    import torch

    return None if torch.cuda.is_available() else f"PyTorch {torch.__version__} sees none here"


def main(words: list[str] | None = None) -> int:
    """Run everything and write the page; return 2 where there is no GPU, 1 where a part or a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal with tiny sizes")
    parser.add_argument("--output", type=Path, help="folder for the numbers, in place of the repository")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds in all")
    parser.add_argument("--compile", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.device.startswith("cuda") and (why := why_not()):
        print(NEEDS.format(why=why), file=sys.stderr)
        return 2
    if not given.device.startswith("cuda") and not (given.output or given.compile):
        parser.error("a rehearsal on another device writes to --output DIR, not into the repository")
    sys.path[:0] = packed()
    import torch

    device = torch.device(given.device)
    if given.compile:
        compile_one(given.compile, device)
        return 0
    from qweft.core.files import write_json

    start = time.monotonic()
    here = machine(device)
    numbers = given.output / "gpu.json" if given.output else ROOT / "benchmarks" / "results" / "gpu.json"
    numbers.parent.mkdir(parents=True, exist_ok=True)

    def keep(found: dict[str, Any]) -> None:
        told = {"machine": here, "device": device.type, "tiny": given.tiny, "seconds": time.monotonic() - start}
        write_json(numbers, found | told)

    def say(what: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {what}", flush=True)

    results = Program(device, given.tiny).run(given.budget, say, keep)
    print(f"written: {numbers}; `python -m benchmarks.report` writes docs/benchmarks.md from it")
    failed = [name for name in SHARES if "failed" in results[name]]
    print(json.dumps({name: results[name]["failed"] for name in failed}, indent=2) if failed else "every part ran")
    return int(bool(failed or results["tests"].get("failed_tests") or results["tests"].get("exit")))


if __name__ == "__main__":
    sys.exit(main())
