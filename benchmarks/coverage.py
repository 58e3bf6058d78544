"""How often the interval of `qweft compare` holds the true difference: `python -m benchmarks.coverage`.

Two methods without any difference are simulated again and again, with chance from the seeds, from the test rows, and
from what a row does at one seed alone. An interval of 95% should hold zero 95 times in 100.
"""

import argparse
from collections.abc import Iterator
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

from qweft.comparison.intervals import paired_interval
from qweft.comparison.pairing import pair

Array = NDArray[np.float64]

SEEDS = (3, 5, 8)
ROWS = (48, 96)
LOSS, LOSS_SPREAD = 4.1, 0.8  # of a row's tokens, in nats, as on the demo's test rows

SOURCES = {
    "seeds": (1.0, 0.0, 0.0),
    "seeds and rows": (1.0, 5.0, 5.0),
    "rows": (0.1, 7.0, 0.0),
    "rows by seed": (0.1, 0.0, 7.0),
}
"""Standard deviations of a difference in percent of the loss: over seeds, over rows, over rows by seed."""

SHAPES = ("normal", "heavy tails", "skewed in both", "skewed in one")
"""Of the chance in a difference: normal, Student's t with 3 degrees of freedom, the difference of two exponential
draws (both methods now and then have a bad run), and one exponential draw (the method alone has them)."""


def draw(shape: str, size: tuple[int, ...], random: np.random.Generator) -> Array:
    """Random numbers of mean 0 and variance 1."""
    if shape == "normal":
        return random.standard_normal(size)
    if shape == "heavy tails":
        return random.standard_t(3, size) / np.sqrt(3)
    if shape == "skewed in both":
        return (random.standard_exponential(size) - random.standard_exponential(size)) / np.sqrt(2)
    return random.standard_exponential(size) - 1


def comparison(
    seeds: int, rows: int, shape: str, source: str, random: np.random.Generator, percent: float = 0.0
) -> tuple[Array, Array]:
    """Summed row losses of two methods, (seeds, rows), whose true difference is `percent`.

    Rows have 10 to 100 tokens, as short dialogues do, and their losses differ; the difference has the chance of
    `SOURCES`.
    """
    tokens = np.ceil(np.exp(random.normal(3.5, 0.6, rows)))
    others = np.abs(random.normal(LOSS, LOSS_SPREAD, rows)) * tokens * np.ones((seeds, 1))
    spread = zip(SOURCES[source], ((seeds, 1), (1, rows), (seeds, rows)), strict=True)
    chance = sum(deviation * draw(shape, size, random) for deviation, size in spread)
    return others * (1 + percent / 100) + chance * LOSS / 100 * tokens, others


def relative(losses: Array, others: Array) -> tuple[float, ...]:
    """The paired differences in percent, one a seed."""
    return tuple((100 * (losses - others).sum(1) / others.sum(1).mean()).tolist())


def measure(seeds: int, rows: int, shape: str, source: str, repeats: int) -> tuple[float, float]:
    """The share of intervals that hold zero, and their median width in percentage points."""
    random = np.random.default_rng(0)
    made = (comparison(seeds, rows, shape, source, random) for _ in range(repeats))
    ends = np.array([paired_interval(relative(losses, others), losses, others) for losses, others in made])
    return float(np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))), float(np.median(ends[:, 1] - ends[:, 0]))


def directions(seeds: int, rows: int, source: str, percent: float, repeats: int) -> list[str]:
    """What the whole rule says of methods with a true difference, normal chance."""
    random = np.random.default_rng(7)
    said = []
    for _ in range(repeats):
        made = comparison(seeds, rows, "normal", source, random, percent)
        losses = [dict(enumerate(method.sum(1).tolist())) for method in made]
        by_row = [{k: tuple((total, 1) for total in sums) for k, sums in enumerate(method.tolist())} for method in made]
        said.append(pair(losses[0], losses[1], by_row[0], by_row[1]).direction)
    return said


def power_table(repeats: int = 200, rows: int = 48) -> Iterator[str]:
    """How often the rule calls a method better, in percent of comparisons, as lines of Markdown."""
    sources = ("seeds", "seeds and rows")
    yield f"| seeds | true difference | {' | '.join(sources)} |"
    yield f"|---:|---:|{'---:|' * len(sources)}"
    for seeds, percent in product(SEEDS, (0.0, -3.0)):
        found = [directions(seeds, rows, source, percent, repeats).count("lower") / repeats for source in sources]
        yield f"| {seeds} | {percent:g}% | {' | '.join(f'{100 * share:.0f}' for share in found)} |"


def table(repeats: int) -> Iterator[str]:
    """The coverage in percent and, in brackets, the median width, as lines of Markdown."""
    yield f"| seeds | test rows | chance | {' | '.join(SOURCES)} |"
    yield f"|---:|---:|---|{'---:|' * len(SOURCES)}"
    for seeds, rows, shape in product(SEEDS, ROWS, SHAPES):
        found = [measure(seeds, rows, shape, source, repeats) for source in SOURCES]
        cells = [f"{100 * coverage:.1f} ({width:.1f})" for coverage, width in found]
        yield f"| {seeds} | {rows} | {shape} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000, help="simulated comparisons a cell")
    repeats = parser.parse_args().repeats
    for line in chain(power_table(), [""], table(repeats)):
        print(line, flush=True)
