"""Which interval judges a comparison best, where the truth is known: `python -m benchmarks.judges`.

Tables of paired differences, seeds by rows, are drawn with chance of seeds, rows, and rows at one seed alone. Compared:

- bootstrap: random multipliers over seeds plus resampled rows, the part of the interaction taken out;
- effects: two-way random effects, negative variances kept, Satterthwaite's degrees of freedom;
- clipped: the same, each negative variance set to zero (as REML does), the rest of the mean squares kept;
- widest: of seeds alone, rows alone, and the random effects (`qweft.comparison.judge.random_effects`);
- mixed model: statsmodels' MixedLM with crossed effects, if it is installed, on the smaller tables.

Four minutes on one core. `--part coverage` makes one table alone. Results are kept in results/judges.json.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from qweft.comparison.judge.corrections import holm, interim_levels
from qweft.comparison.judge.random_effects import LEVEL, StandardErrors, crossed_standard_errors, t_quantile
from qweft.core.files import write_json

RESULTS = Path(__file__).parent / "results" / "judges.json"
Array = NDArray[np.float64]

SEEDS = (3, 5, 12)
ROWS = (4, 12, 96, 768)
"""Independent test rows, or groups of them: 4 and 12 templates."""
SOURCES = {"least": (0.1, 1.0, 4.0), "most": (0.6, 3.0, 4.0), "seeds": (1.0, 0.0, 0.0), "interaction": (0.0, 0.0, 4.0)}
"""Standard deviations in percent of the loss: seeds, rows, rows by seed. The first two are the limits on record."""
SHAPES = ("normal", "heavy tails")
DRAWS = 2000
LOOKS = (3, 6, 12)
"""Numbers of seeds at which `--until-decided` judges."""
QUESTIONS, MARGIN = 4, 1.0
"""Of a family that is looked at repeatedly, the margin in percent."""
MIXED_ROWS = 12
"""More rows than this make the dense covariance of MixedLM too slow for a simulation."""


def table(seeds: int, rows: int, source: str, shape: str, random: np.random.Generator) -> Array:
    """Differences in percent, (seeds, rows), whose true mean is zero."""
    made = np.zeros((seeds, rows))
    for deviation, size in zip(SOURCES[source], ((seeds, 1), (1, rows), (seeds, rows)), strict=True):
        chance = random.standard_normal(size) if shape == "normal" else random.standard_t(3, size) / np.sqrt(3)
        made += deviation * chance
    return made


def mean_squares(y: Array) -> tuple[Array, Array]:
    """Mean squares of seeds, rows and the residual, and their degrees of freedom."""
    n, m = y.shape
    by_seed, by_row = y.mean(1) - y.mean(), y.mean(0) - y.mean()
    residual = y - y.mean() - by_seed[:, None] - by_row
    freedom = np.array([n - 1, m - 1, (n - 1) * (m - 1)], dtype=np.float64)
    return np.array([m * (by_seed**2).sum(), n * (by_row**2).sum(), (residual**2).sum()]) / freedom, freedom


def effects(y: Array) -> float:
    """Half-width by random effects, a negative sum set to almost nothing."""
    squares, freedom = mean_squares(y)
    total = max(squares[0] + squares[1] - squares[2], 1e-9)
    return _half(total / y.size, total**2 / float((squares**2 / freedom).sum()))


def clipped(y: Array) -> float:
    """Half-width by random effects, each negative variance set to zero."""
    squares, freedom = mean_squares(y)
    parts = np.array([max(squares[0] - squares[2], 0.0), max(squares[1] - squares[2], 0.0), squares[2]])
    return _half(parts.sum() / y.size, parts.sum() ** 2 / float((parts**2 / freedom).sum()))


def _half(variance: float, freedom: float) -> float:
    return float(stdtrit(max(1.0, freedom), (1 + LEVEL) / 2) * np.sqrt(variance))


def widest(y: Array) -> float:
    """Half-width as `qweft compare` has it."""
    return _errors(y).interval(0.0)[1]


def bootstrap(y: Array, multipliers: Array, picked: Array) -> tuple[float, float]:
    """Both ends by the bootstrap over seeds and rows that judged until version 0.1."""
    n, m = y.shape
    by_seed, by_row = y.mean(1) - y.mean(), y.mean(0) - y.mean()
    normal = 1.959964
    seeds = t_quantile(LEVEL, n - 1) / normal * np.sqrt(n / (n - 1)) / n * (multipliers @ by_seed)
    interaction = (y - y.mean(1, keepdims=True)).var(0, ddof=1).sum() / n
    own = np.sqrt(max(0.0, 1 - interaction / max((by_row**2).sum(), 1e-12)))
    rows = own * t_quantile(LEVEL, m - 1) / normal * np.sqrt(m / (m - 1)) * (picked @ by_row) / m
    low, high = np.quantile(seeds + rows, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(y.mean() + low), float(y.mean() + high)


def mixed(y: Array) -> float:
    """Half-width by statsmodels' MixedLM with crossed effects (REML, normal quantile); NaN if it does not converge."""
    import pandas
    from statsmodels.regression.mixed_linear_model import MixedLM

    seed, row = np.indices(y.shape)
    frame = pandas.DataFrame({"y": y.ravel(), "seed": seed.ravel(), "row": row.ravel(), "one": 1})
    parts = {"seed": "0 + C(seed)", "row": "0 + C(row)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted = MixedLM.from_formula("y ~ 1", frame, groups="one", vc_formula=parts, re_formula="0").fit()
            return 1.959964 * float(fitted.bse["Intercept"])
        except (np.linalg.LinAlgError, ValueError):
            return float("nan")


def coverage_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """Percent of intervals that hold the truth, and their median width, by judge."""
    judges: dict[str, Callable[[Array], float]] = {"effects": effects, "clipped": clipped, "widest": widest}
    for shape, source, seeds, rows in product(SHAPES, SOURCES, SEEDS, ROWS):
        random = np.random.default_rng(0)
        multipliers = random.standard_normal((DRAWS, seeds))
        picked = random.multinomial(rows, np.full(rows, 1 / rows), size=DRAWS).astype(np.float64)
        made = [table(seeds, rows, source, shape, random) for _ in range(repeats)]
        ends = np.array([bootstrap(y, multipliers, picked) for y in made])
        cells = {"bootstrap": _cell((ends[:, 0] <= 0) & (ends[:, 1] >= 0), ends[:, 1] - ends[:, 0])}
        for name, judge in judges.items():
            half = np.array([judge(y) for y in made])
            cells[name] = _cell(np.abs([y.mean() for y in made]) <= half, 2 * half)
        yield {"chance": f"{source}, {shape}", "seeds": seeds, "rows": rows, **cells}


def mixed_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """The same of MixedLM on small tables, with its failures and its time."""
    if find_spec("statsmodels") is None:
        return
    for source, seeds in product(("least", "most"), SEEDS):
        random = np.random.default_rng(0)
        made = [table(seeds, MIXED_ROWS, source, "normal", random) for _ in range(repeats // 4)]
        begun = time.process_time()
        half = np.array([mixed(y) for y in made])
        spent, good = (time.process_time() - begun) / len(made), np.isfinite(half)
        held = np.abs([y.mean() for y in made])[good] <= half[good]
        yield {"chance": source, "seeds": seeds, "rows": MIXED_ROWS, "mixed model": _cell(held, 2 * half[good]),
               "widest": _cell(np.abs([y.mean() for y in made]) <= (own := np.array(list(map(widest, made)))), 2 * own),
               "failed": int((~good).sum()), "seconds a fit": round(spent, 3)}  # fmt: skip


def _cell(held: Any, widths: Array) -> list[float]:
    return [round(100 * float(np.mean(held)), 1), round(float(np.median(widths)), 2)]


def _errors(y: Array) -> StandardErrors:
    rows = y.shape[1]
    return crossed_standard_errors(list(y.mean(1)), y / rows, np.full(y.shape, 100 / rows))


def _p(y: Array) -> float:
    return _errors(y).difference_p(float(y.mean()))


def _equivalence_p(y: Array, margin: float) -> float:
    return _errors(y).equivalence_p(float(y.mean()), margin)


def family_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """How often equal methods show any difference: each against the first, then the best against each other one."""
    for source, seeds, count in product(("least", "most"), (3, 5), (3, 10)):
        random, shown = np.random.default_rng(0), np.zeros(3)
        for _ in range(repeats):
            made = [table(seeds, 96, source, "normal", random) / np.sqrt(2) for _ in range(count)]
            best = min(range(count), key=lambda place: made[place].mean())
            pairs = list(combinations(range(count), 2))
            found = [_p(made[a] - made[b]) for a, b in pairs]
            asked = [p for pair, p in zip(pairs, found, strict=True) if 0 in pair]
            ranked = [p for pair, p in zip(pairs, holm(found), strict=True) if best in pair]
            shown += [min(asked) <= 0.05, min(holm(asked)) <= 0.05, min(ranked) <= 0.05]
        names = ("any question, uncorrected", "any question", "the best against any")
        rates = [round(100 * float(each) / repeats, 1) for each in shown]
        yield {"chance": source, "seeds": seeds, "methods": count, **dict(zip(names, rates, strict=True))}


def looks_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """How often a question is decided wrongly after looks at 3, 6 and 12 seeds: no difference, or one of the margin."""
    for source, rows in product(SOURCES, (12, 96)):
        random, once, shown, equal = np.random.default_rng(0), 0, 0, 0
        for _ in range(repeats):
            y = table(LOOKS[-1], rows, source, "normal", random)
            seen = [(y[:seeds], level) for seeds, level in zip(LOOKS, interim_levels(LOOKS), strict=True)]
            once += any(_p(part) <= 0.05 for part, _ in seen)
            shown += any(_p(part) <= level for part, level in seen)
            equal += any(_equivalence_p(part + 2, 2.0) <= level for part, level in seen)
        counts = {"shown at 0.05 each": once, "shown": shown, "equivalent at the margin": equal}
        yield {"chance": source, "rows": rows, **{k: round(100 * count / repeats, 1) for k, count in counts.items()}}


def families_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """Four independent questions judged together at 3, 6 and 12 seeds, in percent.

    False: how often any difference is shown where there is none, and any equivalence where each difference is exactly
    the margin. Found: the share of questions without a difference that end as equivalent. Each with equivalences
    corrected by Holm, like differences, and not corrected.
    """
    for source in ("most", "seeds"):
        random = np.random.default_rng(0)
        counts: defaultdict[str, float] = defaultdict(float)
        for _ in range(repeats):
            equal = [table(LOOKS[-1], 96, source, "normal", random) for _ in range(QUESTIONS)]
            apart = [y + MARGIN for y in equal]
            for name, correct in (("Holm", holm), ("uncorrected", list)):
                without_difference, at_the_margin = (decide(tables, correct) for tables in (equal, apart))
                counts[f"any false difference, {name}"] += "different" in without_difference
                counts[f"any false equivalence, {name}"] += "equivalent" in at_the_margin
                counts[f"equality found, {name}"] += without_difference.count("equivalent") / QUESTIONS
        yield {"chance": source, **{name: round(100 * count / repeats, 1) for name, count in sorted(counts.items())}}


def decide(tables: Sequence[Array], correct: Callable[[list[float]], list[float]]) -> list[str]:
    """How each question ends: "equivalent", "different", or "" after the last look. A decided one gets no more seeds.

    Args:
        tables: Differences in percent of each question, (seeds, rows).
        correct: How the p of equivalence are corrected; those of differences are, by Holm.
    """
    answers = [""] * len(tables)
    seen = list(tables)
    for seeds, level in zip(LOOKS, interim_levels(LOOKS), strict=True):
        seen = [part if answer else y[:seeds] for answer, part, y in zip(answers, seen, tables, strict=True)]
        differences = holm([_p(part) for part in seen])
        equivalences = correct([_equivalence_p(part, MARGIN) for part in seen])
        for number, answer in enumerate(answers):
            if not answer and equivalences[number] <= level:
                answers[number] = "equivalent"
            elif not answer and differences[number] <= level:
                answers[number] = "different"
    return answers


PARTS = {
    "coverage": coverage_rows,
    "mixed": mixed_rows,
    "family": family_rows,
    "looks": looks_rows,
    "families": families_rows,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="one table alone; without it all")
    parser.add_argument("--repeats", type=int, default=500, help="simulated comparisons a cell")
    given = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in [given.part] if given.part else PARTS:
        found: list[dict[str, Any]] = []
        for row in PARTS[part](given.repeats):
            if not found:
                print(f"\n| {' | '.join(row)} |\n|{'---:|' * len(row)}")
            cells = (f"{cell[0]} ({cell[1]})" if isinstance(cell, list) else str(cell) for cell in row.values())
            print(f"| {' | '.join(cells)} |", flush=True)
            found.append(row)
        kept[part] = {"measured": datetime.now(UTC).date().isoformat(), "repeats": given.repeats, "rows": found}
        write_json(RESULTS, kept)
