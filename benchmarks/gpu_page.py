"""The section of docs/benchmarks.md on GPUs: the numbers of `make gpu`, or what is known without a GPU."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.report import table

from qweft.core.environment import share_said

COMMAND = """## On a GPU

<!-- not run: it needs a GPU -->

```bash
make gpu         # run the tests for a GPU and time it, in ten minutes
make gpu-pack    # pack what a machine with a GPU but no package index needs
```
"""
NONE = """**No card was at hand so far**: the fused kernels have never run on one, and there are no numbers yet.
"""
WITHOUT = """\
Without a card `make test` checks the kernels in Triton's interpreter and compiles them for a card that is not there. It
runs training steps on PyTorch's meta device, where mixed devices are an error. Only a card can show times, the
rounding of its sines and cosines, streams, CUDA graphs and quantised layers.

The kernels need Triton, which CUDA builds of PyTorch bring along, and a C compiler. Otherwise circuits run on PyTorch's
own operations, with a warning. `qweft doctor` says which of them a machine uses.

By the compiler the backward kernel spills no registers up to 9 qubits (`python -m benchmarks.gpu_registers`)."""
NAMES = {"lora_of_peft": "LoRA (PEFT's)", "base": "base model alone", "lora": "`lora`, this package's"}


def section(results: dict[str, Any]) -> str:
    """Return the section of docs/benchmarks.md; without results it says that there are none."""
    return "\n".join([COMMAND, *(_numbers(results) if results else [NONE]), WITHOUT])


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
        return f"### Tests\n\nThey did not run: {tests['failed']}.\n"
    text = f"### Tests\n\n{tests['passed']} passed, {len(tests['failed_tests'])} failed"
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
    text = ["### A training step\n", "Forward, backward and AdamW on q_proj and v_proj, tensor networks at width 256"]
    text[-1] += " and bond 8. Times are medians;\nratios are medians over rounds, with quartiles. Memory is that of the"
    text[-1] += " weights, what is trained, and the rise in a step.\n"
    for name in ("135M", "7B"):
        part = results[f"step {name}"]
        if "failed" in part:
            text.append(f"#### {name}\n\nIt did not run: {part['failed']}.\n")
            continue
        cut = f", **{part['layers']} of {part['whole']} layers**" if part["layers"] < part["whole"] else ""
        text.append(f"#### {name}, {part['rows']} rows of {part['length']} tokens{cut}\n")
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
        return f"### Generation\n\nIt did not run: {part['failed']}.\n"
    text = ["### Generation\n", f"{part['tokens']} tokens a row by the 135M shape, r = 4, L = 4, not merged.\n"]
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
        return f"### Circuits\n\nThey did not run: {part['failed']}.\n"
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
        "### Circuits\n\nForward and backward, n qubits, n layers, T tokens, float32: "
        f"engine `{own}` against PyTorch's operations.\n\n"
    )
    head = ("shape", f"{own}, ms", "PyTorch, ms", "times faster", f"{own}, MiB", "PyTorch, MiB")
    text += table(head, rows) + "\n"
    if part["cut"]:
        text += f"\n**Cut off by the time limit**: {', '.join(part['cut'])}.\n"
    return text


def _table(first: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return table((first, *head), rows) + "\n"
