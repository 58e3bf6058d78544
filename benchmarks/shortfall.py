"""How often the stated shortfall of a learning rate holds the true one, in simulated searches.

    python -m benchmarks.shortfall        # some seconds; prints the tables of docs/statistics.md

A curve of loss by x = log2(rate) has its optimum at 0: a parabola of a given curvature, one that is the same below and
rises exponentially above, or one that is flat there and has straight sides. A search begins up to three factors of two
away; a list has five rates around the optimum. Both see the curve, a constant for each seed, and normal noise for each
training.
"""

import argparse
import math
from collections.abc import Callable
from statistics import quantiles

import numpy as np

from qweft.comparison.judge.rates import Losses, best_tried, next_rate, optimum, shortfall

CURVATURES = (0.004, 0.02, 0.08)
NOISES = (0.001, 0.005, 0.015)
"""In nats: per squared factor of two, and the standard deviation of a training's noise."""
FACTORS = (2, 3, 10)
"""Between the rates of a list."""
BASE_LOSS = 3.7


def curve(shape: str, curvature: float) -> Callable[[float], float]:
    """The loss above its minimum by x = log2(rate / optimum); all shapes have this curvature at 0."""
    if shape == "parabola":
        return lambda x: curvature / 2 * x * x
    if shape == "straight sides":
        return lambda x: curvature * (math.sqrt(1 + x * x) - 1)
    return lambda x: curvature * (x * x / 2 if x < 0 else math.expm1(x) - x)


def searched(
    above: Callable[[float], float], noise: float, seeds: int, draw: np.random.Generator, most: int = 12
) -> tuple[float, float | None]:
    """The true and the stated shortfall in nats of one simulated search; `None` if it states none."""
    start, by_seed = 2 ** draw.uniform(-3, 3), draw.normal(0, 0.03, seeds)
    losses: dict[float, tuple[float, ...]] = {}
    while (rate := next_rate(losses, start, most)) is not None:
        losses[rate] = tuple(BASE_LOSS + above(math.log2(rate)) + by_seed + draw.normal(0, noise, seeds))
    return _both(above, losses, optimum(losses))


def listed(
    above: Callable[[float], float], noise: float, seeds: int, draw: np.random.Generator, factor: float
) -> tuple[float, float | None]:
    """The same of a list of five rates, each so many times the one before, whose middle is near the optimum."""
    middle, by_seed = factor ** draw.uniform(-0.5, 0.5), draw.normal(0, 0.03, seeds)
    losses = {
        rate: tuple(BASE_LOSS + above(math.log2(rate)) + by_seed + draw.normal(0, noise, seeds))
        for rate in (middle * factor**place for place in range(-2, 3))
    }
    return _both(above, losses, best_tried(losses))


def _both(above: Callable[[float], float], losses: Losses, chosen: float) -> tuple[float, float | None]:
    return above(math.log2(chosen)), shortfall(losses, chosen).nats


def covered(
    shape: str, curvature: float, noise: float, seeds: int = 2, count: int = 1000, factor: float | None = None
) -> list[float]:
    """Of so many searches, or lists of rates: the share that the stated shortfall holds, the median and the 95%
    quantile of the true one, and the median of the stated one."""
    draw, above = np.random.default_rng(0), curve(shape, curvature)
    if factor is None:
        found = [searched(above, noise, seeds, draw) for _ in range(count)]
    else:
        found = [listed(above, noise, seeds, draw, factor) for _ in range(count)]
    pairs = [(true, stated) for true, stated in found if stated is not None]
    cut = quantiles([true for true, _ in pairs], n=20)
    return [
        sum(true <= stated for true, stated in pairs) / len(pairs), cut[9], cut[18],
        float(np.median([stated for _, stated in pairs])),
    ]  # fmt: skip


def row(shape: str, curvature: float, noise: float, seeds: int = 2, count: int = 1000) -> str:
    """The row of a table: `covered`, the losses in percent."""
    share, *nats = covered(shape, curvature, noise, seeds, count)
    told = " | ".join(f"{100 * each / BASE_LOSS:.3f}%" for each in nats)
    return f"| {shape} | {curvature:g} | {noise:g} | {100 * share:.1f} | {told} |"


def row_of_list(shape: str, factor: float, seeds: int = 2, count: int = 1000) -> str:
    """The row of the table of lists: `covered` at a middling curvature and noise, the losses in percent."""
    share, *nats = covered(shape, CURVATURES[1], NOISES[0], seeds, count, factor)
    told = " | ".join(f"{100 * each / BASE_LOSS:.3f}%" for each in nats)
    return f"| {shape} | {factor:g} | {100 * share:.1f} | {told} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="searches a row")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of a search")
    given = parser.parse_args()
    print("| curve | curvature | noise | held, % | true: median | 95% quantile | stated: median |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for shape in ("parabola", "steep above"):
        for curvature in CURVATURES:
            for noise in NOISES:
                print(row(shape, curvature, noise, given.seeds, given.count))
    print("\n| curve | factor | held, % | true: median | 95% quantile | stated: median |")
    print("|---|---:|---:|---:|---:|---:|")
    for shape in ("parabola", "steep above", "straight sides"):
        for factor in FACTORS:
            print(row_of_list(shape, factor, given.seeds, given.count))


if __name__ == "__main__":
    main()
