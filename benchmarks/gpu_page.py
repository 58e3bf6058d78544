"""docs/benchmarks-gpu.md: what is known without a GPU, or the numbers of `make gpu`; as a program it writes it anew."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import table

from qweft.environment import share_said
from qweft.files import write_bytes

START = """# How fast it is on a GPU

The tests and the benchmark for a GPU, in one command of at most ten minutes. It rewrites this page with the card's
name.

<!-- not run: it needs a GPU -->

    make gpu
"""
NONE = """**No card was at hand so far**, so this page has no numbers yet. The kernels have never run on a GPU. Without
one `make gpu` says in one sentence what it would do, and installs nothing.
"""
WITHOUT = """## What is checked without a GPU

`make test` needs no GPU, and checks this:

- **Kernels**: their values and gradients, in Triton's interpreter, against a simulation gate by gate
  (`tests/circuit/test_fused.py`). Triton also compiles them to machine code for a card that is not there.
- **Placement**: training, generation, saving, loading and the search for fixed bases run on a device that does not
  exist (`tests/placement`). Its tensors may not be mixed with those of the CPU. The second step of a training makes
  nothing on the CPU, copies nothing and waits for nothing there.
- **The tests for a GPU**: they run on the CPU, without those about CUDA itself (`tests/gpu/test_rehearsal.py`).
- **The benchmark**: all of its parts run on the CPU with tiny sizes (`tests/test_benchmarks_gpu.py`).

What only a card can show: the times, the rounding of its sines and cosines, streams, CUDA graphs, TF32, two devices,
and quantized layers.
"""
ELSEWHERE = """## On a machine without a package index

It needs Python 3.11 or newer, make, a CUDA build of PyTorch, and transformers.

1. `make gpu-pack`, here: it writes `dist/qweft-gpu.tar.gz`, about 5 MiB, with the source, pytest, wrapt and PEFT. One
   that the machine has is taken from there if its version fits.
2. There: `tar xf qweft-gpu.tar.gz`, then `make gpu` in the folder `qweft-gpu`. Name another Python by
   `make gpu PYTHON=python3.12`.
3. Back here: copy its `docs/benchmarks-gpu.md` and `benchmarks/results/gpu.json`.

A part that does not end in time is cut off, and this page then says so. Base models have random weights of the shapes
of SmolLM2-135M and Qwen2.5-7B, in bfloat16: a pack of at most 60 MiB has no room for SmolLM2-135M's own (94 MB). If
the card cannot hold the larger one, layers are left out, and this page says how many.

## What a user with a GPU sees

`qweft doctor` names each card with its free memory. It runs a circuit there, tells how far its values and gradients are
from the CPU's, and whether the fused kernels ran. They need Triton, which CUDA builds of PyTorch bring along, and a C
compiler. Otherwise circuits run on PyTorch's own operations, with a warning. `--model.device auto` takes the first
card, and `--model.dtype auto` bfloat16 where the card has it. More in [training](training.md).

## What the compiler tells of the kernels

By `python -m benchmarks.gpu_registers`, which needs no card: Triton 3.7.1 and its assembler, for compute capability
9.0 (Hopper), float32. Registers are those of a thread, of which it has at most 255. "Spilled" are the bytes of a thread
that did not fit into them, as the assembler counts stores and loads. Nothing of this has been timed.

| qubits | tokens x warps | forward | backward | backward, spilled |
| --- | --- | --- | --- | --- |
| 4 | 16 x 1 | 64 | 127 | 0 |
| 5 | 8 x 1 | 64 | 127 | 0 |
| 6 | 8 x 1 | 72 | 255 | 0 |
| 7 | 4 x 1 | 80 | 254 | 0 |
| 8 | 2 x 1 | 96 | 246 | 0 |
| 9 | 1 x 1 | 80 | 255 | 0 |
| 10 | 1 x 1 | 168 | 255 | 160 written, 232 read |
| 11 | 1 x 2 | 168 | 255 | 352 written, 440 read |
| 12 | 1 x 4 | 241 | 255 | 12 written, 12 read |

Triton 3.6.0 gives others (forward, backward): 128 and 168 at 4 qubits, 128 and 255 at 8. In float64 it spills 780 bytes
at 4 qubits, where 3.7.1 spills none. So times will depend on Triton's version, which this page names.

What should be looked at first on a card:

- From 6 qubits on a multiprocessor holds 8 warps of the backward kernel, of 64: there is little to hide a wait behind.
- At 10 and 11 qubits two warps a token instead of one would end the spilling, and cost shared memory.
- Each circuit is one launch forward and one backward. A step of 60 adapted layers has 120 of them, and the table of
  sines and cosines before each first one takes five launches more.
- Generation builds all branches at each token. On a CPU it compares bytes instead, which on a GPU would wait for it.
"""
NAMES = {"lora_of_peft": "LoRA (PEFT's)", "base": "base model alone", "lora": "`lora`, this package's"}


def page(results: dict[str, Any] | None) -> str:
    """Return the page; without results it says that there are none."""
    if results is None:
        return "\n".join([START, NONE, WITHOUT, ELSEWHERE])
    return "\n".join([START, *_numbers(results), WITHOUT, ELSEWHERE])


def _numbers(results: dict[str, Any]) -> Iterable[str]:
    if results["device"] != "cuda":
        yield "**A rehearsal on a CPU, with tiny sizes: no number below means anything.**\n"
    yield _machine(results)
    yield _tests(results["tests"], results["kernels"])
    yield _steps(results)
    yield _generation(results["generation"])
    yield _circuits(results["circuit"])


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = {"Python": "python", "PyTorch": "torch", "CUDA": "cuda", "Triton": "triton"}
    versions |= {"transformers": "transformers", "PEFT": "peft"}
    lines = [f"- {machine['device_name']}"]
    if "driver" in machine:
        lines[0] += (
            f", {machine['processors']} multiprocessors, {machine['memory'] / 2**30:.0f} GiB of which others held "
            f"{machine['taken_by_others'] / 2**30:.1f} at the start; driver {machine['driver']}"
        )
    lines.append(f"- {machine['cpu']}, {machine['cores']} cores")
    lines.append("- " + ", ".join(f"{name} {machine[key]}" for name, key in versions.items()))
    lines.append(f"- {machine['date'][:10]}, commit {machine['git_commit']}, {results['seconds']:.0f} s in all")
    loads = [
        f"{name} {share_said(part['load']['cpu_by_others'])}"
        for name, part in results.items()
        if isinstance(part, dict) and "load" in part
    ]
    lines.append(f"- processors' time taken by others: {', '.join(loads)}")
    return ";\n".join(lines) + ".\n"


def _tests(tests: dict[str, Any], kernels: dict[str, Any]) -> str:
    if "failed" in tests:
        return f"## Tests\n\nThey did not run: {tests['failed']}.\n"
    text = f"## Tests\n\n{tests['passed']} passed, {len(tests['failed_tests'])} failed"
    text += f", {sum(tests['left_out'].values())} were left out."
    if tests["cut"]:
        text += " **Cut off by the time limit**: the others did not run."
    text += "".join(f"\n- failed: `{name}`" for name in tests["failed_tests"])
    text += "".join(f"\n- left out ({count}): {why}" for why, count in tests["left_out"].items())
    if "failed" not in kernels:
        text += f"\n\nCompiling the kernels took {kernels['seconds']:.0f} s in several processes"
        text += f", without {', '.join(kernels['missing'])}." if kernels["missing"] else "."
    return text.replace(".\n-", ".\n\n-", 1) + "\n"


def _share(row: dict[str, Any]) -> str:
    low, high = row["quartiles"]
    return f"{row['ratio']:.3f} [{low:.3f}, {high:.3f}]"


def _steps(results: dict[str, Any]) -> str:
    text = ["## A training step\n", "Forward, backward and AdamW on q_proj and v_proj, tensor networks at width 256"]
    text[-1] += " and bond 8. Times are medians;\nratios are medians over rounds, with quartiles. Memory is that of the"
    text[-1] += " weights, what is trained, and the rise in a step.\n"
    for name in ("135M", "7B"):
        part = results[f"step {name}"]
        if "failed" in part:
            text.append(f"### {name}\n\nIt did not run: {part['failed']}.\n")
            continue
        cut = f", **{part['layers']} of {part['whole']} layers**" if part["layers"] < part["whole"] else ""
        text.append(f"### {name}, {part['rows']} rows of {part['length']} tokens{cut}\n")
        for size in [key for key in part if key.startswith("r") and "_L" in key]:
            reference = part[size]["lora_of_peft"]["peak"]
            rows = [
                (
                    NAMES.get(kind, f"`{kind}`"),
                    1e3 * row["seconds"],
                    _share(row),
                    "-" if row["peak"] is None else f"{row['peak'] / 2**30:.2f} GiB ({row['peak'] / reference:.3f})",
                    row["rounds"],
                )
                for kind, row in part[size].items()
            ]
            text.append(_table(size.replace("_", ", "), ("ms", "times LoRA's", "peak (times LoRA's)", "rounds"), rows))
    return "\n".join(text)


def _generation(part: dict[str, Any]) -> str:
    if "failed" in part:
        return f"## Generation\n\nIt did not run: {part['failed']}.\n"
    text = ["## Generation\n", f"{part['tokens']} tokens a row by the 135M shape, r = 4, L = 4, not merged.\n"]
    for batch, rows in part["batches"].items():
        cells = [
            (
                NAMES.get(kind, f"`{kind}`"),
                int(batch) * part["tokens"] / row["seconds"],
                f"{1 / row['ratio']:.3f}",
                row["rounds"],
            )
            for kind, row in rows.items()
        ]
        text.append(_table(f"batch {batch}", ("tokens per second", "times LoRA's", "rounds"), cells))
    missing = {"1", "8", "32"} - part["batches"].keys() if part["tokens"] == 24 else set()
    if missing:
        text.append(f"**Cut off by the time limit**: batches {', '.join(sorted(missing, key=int))}.\n")
    return "\n".join(text)


def _circuits(part: dict[str, Any]) -> str:
    if "failed" in part:
        return f"## Circuits\n\nThey did not run: {part['failed']}.\n"
    first = next(iter(part["shapes"].values()))
    own = next(iter(first))
    rows = [
        (
            name,
            1e3 * one[own]["seconds"],
            1e3 * one["pytorch"]["seconds"],
            one["pytorch"]["ratio"],
            *("-" if one[path]["peak"] is None else one[path]["peak"] / 2**20 for path in (own, "pytorch")),
        )
        for name, one in part["shapes"].items()
        if "pytorch" in one
    ]
    text = (
        "## Circuits\n\nForward and backward, n qubits, n layers, T tokens, float32: "
        f"engine `{own}` against PyTorch's operations.\n\n"
    )
    head = ("shape", f"{own}, ms", "PyTorch, ms", "times faster", f"{own}, MiB", "PyTorch, MiB")
    text += table(head, rows) + "\n"
    if part["cut"]:
        text += f"\n**Cut off by the time limit**: {', '.join(part['cut'])}.\n"
    return text


def _table(first: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return table((first, *head), rows) + "\n"


def main() -> None:
    """Write the page of the saved numbers, or of none."""
    here = Path(__file__).parent
    saved = here / "results" / "gpu.json"
    results = json.loads(saved.read_text()) if saved.is_file() else None
    write_bytes(here.parent / "docs" / "benchmarks-gpu.md", page(results).encode())


if __name__ == "__main__":
    main()
