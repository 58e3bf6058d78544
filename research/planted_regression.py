"""Where is a circuit worth anything? A regression without a language model.

    python -m research.planted_regression --output docs/results/planted-regression.json
    python -m research.planted_regression --table docs/results/planted-regression.json
    python -m research.planted_regression --finer --output docs/results/planted-regression-finer.json

A teacher f: R^r -> R^r is drawn: the circuit of the method, a perceptron, the circuit without entanglement, or nothing
but an affine map. Students of its size learn it from pairs (c, f(c)), c normal of a given rms:

    h(c) = Q t(c) + K c + b,   t the student's function;   affine: h(c) = K c + b

The result is the share of the teacher's variance, on inputs that were not trained on, that a student leaves
unexplained: 0 is perfect, 1 is no better than a constant. Finished cells of the output are kept, so that the same
command goes on where it was stopped. --finer asks two cells again, of L = 2, with more pairs and steps.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from qweft.adapter.functions import FUNCTIONS, Function, make_function
from qweft.environment import environment
from qweft.files import write_json

R = 4
LAYERS = (2, 4, 8)
SIZES = (0.1, 0.3, 1.0, 2.0, 3.0)
SEEDS = (0, 1, 2)
RATES = (0.01, 0.03)
STEPS = 600
TRAINED, TESTED = 2048, 4096
FINER = (800, 8192)
"""Steps and trained pairs of --finer."""
NEAR = 0.3
"""Standard deviation in radians by which a student's angles differ from the teacher's in "circuit, near"."""

STUDENTS = {
    "affine": ("none", "recorded"),
    "circuit, random start": ("quantum", "recorded"),
    "circuit, scaled start": ("quantum", "scaled"),
    "circuit, near": ("quantum", "near"),
    "perceptron": ("mlp", "recorded"),
    "Fourier": ("fourier", "recorded"),
    "no entanglement": ("product", "recorded"),
}
"""Each student's function and start; "none" is no function at all, fitted exactly by least squares."""


@dataclass(frozen=True)
class Cell:
    """One teacher on one kind of inputs.

    Args:
        teacher: A name of `FUNCTIONS`, or "none".
        layers: Layers L of the circuit, or of the one that is replaced.
        rms: Root mean square of an input.
        normalised: Whether every input vector has exactly that rms, as the gate makes it.
        seed: Of the teacher, the inputs and the students' starts.
    """

    teacher: str
    layers: int
    rms: float
    normalised: bool
    seed: int


def cells(finer: bool = False) -> Iterator[Cell]:
    """Yields the cells of the table, those of the first seed first; the finer one has circuits of L = 2 alone."""
    for seed in SEEDS:
        if finer:
            yield from (Cell("quantum", 2, rms, False, seed) for rms in (1.0, 2.0))
            continue
        for layers in LAYERS:
            for rms in SIZES:
                yield Cell("quantum", layers, rms, False, seed)
        for layers in LAYERS:
            yield Cell("quantum", layers, round(layers**-0.5, 4), True, seed)
        for teacher in ("mlp", "product", "none"):
            yield Cell(teacher, 2, 1.0, False, seed)


def inputs(cell: Cell, count: int, generator: torch.Generator) -> torch.Tensor:
    """Returns normal inputs c, (count, r)."""
    c = torch.randn(count, R, generator=generator) * cell.rms
    return c * (cell.rms / c.square().mean(-1, keepdim=True).sqrt()) if cell.normalised else c


def started(name: str, layers: int, start: str, generator: torch.Generator) -> tuple[Function, list[torch.Tensor]]:
    """Returns a function and its tensors at the named start, from the angles that the circuit would draw."""
    function = make_function(name, R, layers, reupload=True)
    function.make_ready()
    bound = math.pi / 4 if start == "scaled" else math.pi
    angles = (2 * torch.rand(function.ansatz.parameters, generator=generator) - 1) * bound
    tensors = function.start(angles, start)
    return function, [tensors[key].clone() for key in (*function.trained, *function.fixed)]


class Teacher:
    """The function to be learned: f(c), or an affine map of c if it has none."""

    def __init__(self, cell: Cell, generator: torch.Generator):
        self.name = cell.teacher
        self.tensors: list[torch.Tensor] = []
        self.matrix = torch.randn(R, R, generator=generator)
        if cell.teacher != "none":
            self.function, self.tensors = started(cell.teacher, cell.layers, "recorded", generator)

    @torch.no_grad()
    def __call__(self, c: torch.Tensor) -> torch.Tensor:
        if self.name == "none":
            return c @ self.matrix + 1
        return self.function.values(c, *self.function.prepare(self.tensors))


def unexplained(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Returns the residual variance over the variance of what is wanted, both summed over the outputs."""
    return float((found - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())


def affine(c: torch.Tensor, y: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Returns the least squares fit of y by an affine map of c, at other inputs."""
    ones = [torch.cat([x, torch.ones(len(x), 1)], -1).double() for x in (c, other)]
    return (ones[1] @ torch.linalg.lstsq(ones[0], y.double()).solution).to(y.dtype)


def learned(
    function: Function, tensors: list[torch.Tensor], rate: float, data: tuple[torch.Tensor, torch.Tensor], steps: int
) -> tuple[float, Any]:
    """Trains h = Q t(c) + K c + b by Adam with a cosine schedule; returns the training share and h."""
    c, y = data
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    q, k, b = torch.eye(R).requires_grad_(), torch.zeros(R, R).requires_grad_(), torch.zeros(R).requires_grad_()

    def student(x: torch.Tensor) -> torch.Tensor:
        return function.values(x, *function.prepare(tensors)) @ q.T + x @ k.T + b

    optimizer = torch.optim.Adam([*tensors, q, k, b], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (student(c) - y).square().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return unexplained(student(c), y), student


def measure(cell: Cell, steps: int = STEPS, trained: int = TRAINED) -> dict[str, float]:
    """Returns the unexplained share of every student, each at the rate with the lowest share on the training inputs."""
    generator = torch.Generator().manual_seed(1000 * cell.seed + 10 * cell.layers + round(100 * cell.rms))
    teacher = Teacher(cell, generator)
    c, other = inputs(cell, trained, generator), inputs(cell, TESTED, generator)
    y, wanted = teacher(c), teacher(other)
    shares = {}
    for name, (kind, start) in STUDENTS.items():
        if kind == "none":
            shares[name] = unexplained(affine(c, y, other), wanted)
            continue
        own = torch.Generator().manual_seed(77 + cell.seed)
        function, tensors = started(kind, cell.layers, start, own)
        if start == "near":
            if cell.teacher != "quantum":
                continue
            tensors = [tensor + NEAR * torch.randn(tensor.shape, generator=own) for tensor in teacher.tensors]
        fits = [learned(function, tensors, rate, (c, y), steps) for rate in RATES]
        with torch.no_grad():
            shares[name] = unexplained(min(fits, key=lambda fit: fit[0])[1](other), wanted)
    return shares


def sizes() -> dict[str, dict[str, int]]:
    """Returns the trained numbers of each function by layers, without Q, K and b (36 in all)."""
    found = {}
    for layers in LAYERS:
        made = {name: make_function(name, R, layers, reupload=True) for name in FUNCTIONS}
        found[str(layers)] = {
            name: sum(math.prod(shape) for shape in each.trained.values()) for name, each in made.items()
        }
    return found


def table(record: dict[str, Any]) -> list[str]:
    """Returns the rows of the table in Markdown: the median over the seeds, the lowest of the fair students bold."""
    grouped: dict[tuple[Any, ...], list[dict[str, float]]] = {}
    for entry in record["cells"]:
        cell = Cell(**entry["cell"])
        grouped.setdefault((cell.teacher, cell.layers, cell.rms, cell.normalised), []).append(entry["unexplained"])
    lines = [f"| teacher | L | rms of c | {' | '.join(STUDENTS)} |", f"|---|---:|---:|{'---:|' * len(STUDENTS)}"]
    for (teacher, layers, rms, normalised), found in grouped.items():
        middle = {name: median(each[name] for each in found) for name in STUDENTS if name in found[0]}
        best = min(value for name, value in middle.items() if name != "circuit, near")
        said = [
            "" if name not in middle else f"**{middle[name]:.3f}**" if middle[name] == best else f"{middle[name]:.3f}"
            for name in STUDENTS
        ]
        place = f"{rms:.2f}, normalised" if normalised else f"{rms:g}"
        lines.append(f"| {teacher} | {layers} | {place} | {' | '.join(said)} |")
    return lines


def main() -> None:
    """Measures what is missing in the output, or prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--finer", action="store_true")
    given = parser.parse_args()
    if given.table:
        print("\n".join(table(json.loads(given.table.read_text(encoding="utf-8")))))
        return
    if given.output is None:
        parser.error("give --output or --table")
    done = json.loads(given.output.read_text(encoding="utf-8"))["cells"] if given.output.is_file() else []
    known = {Cell(**entry["cell"]) for entry in done}
    steps, trained = FINER if given.finer else (STEPS, TRAINED)
    for cell in cells(given.finer):
        if cell in known:
            continue
        shares = measure(cell, steps, trained)
        done.append({"cell": asdict(cell), "unexplained": {k: round(v, 6) for k, v in shares.items()}})
        print(cell, done[-1]["unexplained"], flush=True)
        how = {"r": R, "steps": steps, "rates": RATES, "trained": trained, "tested": TESTED, "near": NEAR}
        command = f"python -m research.planted_regression {'--finer ' * given.finer}--output {given.output}"
        place = environment("none", "drawn by seed", command)
        write_json(given.output, {"how": how, "sizes": sizes(), "cells": done, "environment": place})


if __name__ == "__main__":
    main()
