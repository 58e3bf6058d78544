"""How often the interval of `qweft compare` holds the true difference: `python -m benchmarks.coverage`.

Two methods without any difference are simulated again and again, with chance from the seeds, from the test rows, and
from what a row does at one seed alone. An interval of 95% should hold zero 95 times in 100.

`--part` makes one table alone: `coverage`, `power`, `circuit`, `visible`, `rare`, `few`. What
is made is kept in results/coverage.json beside what was there.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qweft.comparison.judge.corrections import holm
from qweft.comparison.judge.random_effects import crossed_standard_errors
from qweft.comparison.judge.statistics import (
    SIGNIFICANCE_LEVEL,
    SINGLE_ANALYSIS,
    InterimAnalysis,
    PairedComparison,
    SeedLosses,
    compare_losses,
)
from qweft.core.files import write_json

RESULTS = Path(__file__).parent / "results" / "coverage.json"

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

CIRCUIT_MARGIN = 6.0
"""Margin of the equivalence of a circuit and its controls, in percent: some six standard errors at three seeds."""

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


def interval(differences: Sequence[float], *losses: Array) -> tuple[float, float]:
    """The interval of the mean of paired differences, in percent."""
    return crossed_standard_errors(differences, *losses).interval(float(np.mean(differences)))


def measure(seeds: int, rows: int, shape: str, source: str, repeats: int) -> tuple[float, float]:
    """The share of intervals that hold zero, and their median width in percentage points."""
    random = np.random.default_rng(0)
    made = (comparison(seeds, rows, shape, source, random) for _ in range(repeats))
    ends = np.array([interval(relative(losses, others), losses, others) for losses, others in made])
    return float(np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))), float(np.median(ends[:, 1] - ends[:, 0]))


def directions(seeds: int, rows: int, source: str, percent: float, repeats: int) -> list[str]:
    """What the whole rule says of methods with a true difference, normal chance."""
    random = np.random.default_rng(7)
    return [_compare(*comparison(seeds, rows, "normal", source, random, percent)).direction for _ in range(repeats)]


def circuit_answers(
    seeds: int, rows: int, source: str, controls: int, repeats: int, percent: float = 0.0
) -> tuple[float, float]:
    """How often all controls together say yes and how often no, each p corrected for all; normal chance.

    Each method has its own chance of 1 / sqrt(2) of `SOURCES`, so that a pair of them has all of it; the hybrid's is in
    every pair.

    Args:
        seeds: Number of seeds.
        rows: Number of test rows.
        source: A key of `SOURCES`.
        controls: Number of controls: the network without a circuit, and classical twins.
        repeats: Number of comparisons.
        percent: True difference of the hybrid to each control.
    """
    random = np.random.default_rng(11)
    yes = no = 0
    for _ in range(repeats):
        hybrid, *others = _hybrid_and_controls(seeds, rows, source, controls, percent, random)
        corrected = holm([_difference_p(_compare(hybrid, other)) for other in others])
        said = [
            _compare(hybrid, other, InterimAnalysis(p)).direction for other, p in zip(others, corrected, strict=True)
        ]
        yes += all(direction == "lower" for direction in said)
        no += "higher" in said
    return yes / repeats, no / repeats


def circuit_equivalences(seeds: int, rows: int, source: str, controls: int, repeats: int) -> float:
    """How often a hybrid that is better than each control by the margin is equivalent to one, by Holm's correction.

    Args:
        seeds: As in `circuit_answers`, like all others.
        rows: See there.
        source: See there.
        controls: See there.
        repeats: See there.
    """
    random, equivalent = np.random.default_rng(12), 0
    for _ in range(repeats):
        hybrid, *others = _hybrid_and_controls(seeds, rows, source, controls, -CIRCUIT_MARGIN, random)
        tests = [_compare(hybrid, other, margin=CIRCUIT_MARGIN).equivalence for other in others]
        corrected = holm([test.p_value for test in tests if test is not None])
        equivalent += min(corrected) <= SIGNIFICANCE_LEVEL
    return equivalent / repeats


def _hybrid_and_controls(
    seeds: int, rows: int, source: str, controls: int, percent: float, random: np.random.Generator
) -> Iterator[Array]:
    """Summed losses of a hybrid, which differs by some percent, and of its controls."""
    tokens = np.ceil(np.exp(random.normal(3.5, 0.6, rows)))
    level = np.abs(random.normal(LOSS, LOSS_SPREAD, rows)) * tokens * np.ones((seeds, 1))
    for place in range(controls + 1):
        chance = _chance(seeds, rows, source, random) / np.sqrt(2) * tokens
        yield level + chance + (percent / 100 * level if place == 0 else 0.0)


def _chance(seeds: int, rows: int, source: str, random: np.random.Generator) -> Array:
    """Normal chance of a token's loss, in nats, (seeds, rows)."""
    spread = zip(SOURCES[source], ((seeds, 1), (1, rows), (seeds, rows)), strict=True)
    return np.asarray(sum(deviation * random.standard_normal(size) for deviation, size in spread) * LOSS / 100)


def _difference_p(comparison: PairedComparison) -> float:
    """p of a difference that can be tested."""
    assert comparison.difference is not None, comparison.reason
    return comparison.difference.p_value


def _compare(
    losses: Array, others: Array, analysis: InterimAnalysis = SINGLE_ANALYSIS, margin: float | None = None
) -> PairedComparison:
    """What the whole rule says of two methods' summed row losses."""
    return compare_losses(seed_losses(losses), seed_losses(others), analysis, margin)


def seed_losses(losses: Array) -> SeedLosses:
    """One method's losses by seed from summed row losses, (seeds, rows)."""
    rows = {seed: tuple((total, 1) for total in totals) for seed, totals in enumerate(losses.tolist())}
    return SeedLosses(dict(enumerate(losses.sum(1).tolist())), rows)


def coverage_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """The coverage in percent and the median width, by source of chance."""
    for seeds, rows, shape in product(SEEDS, ROWS, SHAPES):
        measured = {source: measure(seeds, rows, shape, source, repeats) for source in SOURCES}
        cells = {source: [round(100 * held, 1), round(width, 1)] for source, (held, width) in measured.items()}
        yield {"number of seeds": seeds, "test rows": rows, "chance": shape, **cells}


def power_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """How often the rule calls a method better, in percent of comparisons."""
    for seeds, percent in product(SEEDS, (0.0, -3.0)):
        said = {source: directions(seeds, 48, source, percent, repeats) for source in ("seeds", "seeds and rows")}
        cells = {source: round(100 * each.count("lower") / repeats) for source, each in said.items()}
        yield {"number of seeds": seeds, "true difference": percent, **cells}


def circuit_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """How often "does the circuit help?" is answered falsely, in percent of comparisons.

    "Yes" and "no" where the circuit does nothing, "equivalent" where it is better than each control by the margin.
    """
    for seeds, source, controls in product(SEEDS, ("seeds", "seeds and rows"), (1, 3)):
        yes, no = circuit_answers(seeds, 48, source, controls, repeats)
        equal = circuit_equivalences(seeds, 48, source, controls, repeats)
        said = {"yes": round(100 * yes, 1), "no": round(100 * no, 1), "equivalent": round(100 * equal, 1)}
        yield {"number of seeds": seeds, "chance": source, "controls": controls, **said}


def visible_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """The median smallest visible effect, and how often a true difference of that size is shown, in percent."""
    for seeds, source in product((*SEEDS, 12), ("seeds", "seeds and rows", "rows")):
        random = np.random.default_rng(3)
        effects = [
            _compare(*comparison(seeds, 48, "normal", source, random)).minimum_detectable_effect for _ in range(repeats)
        ]
        middle = float(np.median([effect for effect in effects if effect is not None]))
        shown = directions(seeds, 48, source, -middle, repeats).count("lower")
        row = {"number of seeds": seeds, "chance": source, "stated, median": f"{middle:.2g}%"}
        yield {**row, "shown": round(100 * shown / repeats)}


BAD, USUAL, OF_ROWS = 10.0, 0.2, 0.5
"""A bad run's loss above the method's others, and the deviations over seeds and over rows, in percent."""


def rare_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """How often one method's rare bad runs make a false claim, in percent of comparisons with 48 rows.

    A run of the method is bad with a chance q, and its loss then higher by `BAD`. Its others are lower by q * `BAD`, so
    that the true difference is none. Of equivalence the true difference is the margin, 1%.
    """
    for share, seeds in product((0.02, 0.05, 0.1, 0.2), (*SEEDS, 12)):
        random = np.random.default_rng(5)
        shown = alike = 0
        for _ in range(repeats):
            others = np.full((seeds, 48), LOSS)
            bad = BAD * ((random.random((seeds, 1)) < share) - share)
            chance = USUAL * random.standard_normal((seeds, 1)) + OF_ROWS * random.standard_normal((1, 48))
            shown += _compare(others * (1 + (bad + chance) / 100), others).direction != "not decided"
            moved = _compare(others * (1 + (1 + bad + chance) / 100), others, margin=1.0)
            alike += moved.direction == "equivalent"
        row = {"bad runs": f"{share:.0%}", "number of seeds": seeds}
        yield {**row, "shown": round(100 * shown / repeats, 1), "equivalent": round(100 * alike / repeats, 1)}


FEW: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "log-normal (1)": lambda random, rows: (np.exp(random.standard_normal(rows)) - np.exp(0.5)) / 2.161,
    "1 row in 20": lambda random, rows: ((random.random(rows) < 0.05) - 0.05) / np.sqrt(0.05 * 0.95),
    "1 row in 50": lambda random, rows: ((random.random(rows) < 0.02) - 0.02) / np.sqrt(0.02 * 0.98),
}
"""Effects of rows, of mean 0 and variance 1, of which few rows hold most."""


def few_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """How often a difference that is none is shown where few rows hold it, in percent; three seeds, rows 5%."""
    for rows in (16, 48, 192):
        cells: dict[str, float] = {}
        for name, effects in FEW.items():
            random, shown = np.random.default_rng(9), 0
            for _ in range(repeats):
                others = np.full((3, rows), LOSS)
                chance = 0.1 * random.standard_normal((3, 1)) + 5 * effects(random, rows)
                shown += _compare(others * (1 + chance / 100), others).direction != "not decided"
            cells[name] = round(100 * shown / repeats, 1)
        yield {"test rows": rows, **cells}


PARTS: dict[str, tuple[Callable[[int], Iterator[dict[str, Any]]], int]] = {
    "power": (power_rows, 200),
    "circuit": (circuit_rows, 500),
    "visible": (visible_rows, 1000),
    "rare": (rare_rows, 1000),
    "few": (few_rows, 1000),
    "coverage": (coverage_rows, 2000),
}
"""Each table with the comparisons simulated a cell."""


def markdown(cells: Iterable[Any]) -> str:
    """A row of a table; a pair is a coverage and, in brackets, a width."""
    texts = (f"{cell[0]} ({cell[1]})" if isinstance(cell, list) else str(cell) for cell in cells)
    return f"| {' | '.join(texts)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="one table alone; without it all")
    parser.add_argument("--repeats", type=int, help="simulated comparisons a cell")
    given = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in [given.part] if given.part else PARTS:
        make, usual = PARTS[part]
        repeats = given.repeats or usual
        rows: list[dict[str, Any]] = []
        for row in make(repeats):
            if not rows:
                print(f"\n{markdown(row)}\n|{'---:|' * len(row)}")
            print(markdown(row.values()), flush=True)
            rows.append(row)
            kept[part] = {"measured": datetime.now(UTC).date().isoformat(), "repeats": repeats, "rows": rows}
            write_json(RESULTS, kept)
