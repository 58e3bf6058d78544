"""Factors of a size as a product of modes, for every size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from qweft.core.errors import QweftError

CORES = 4

RECORDED = {
    256: (4, 4, 4, 4),
    512: (8, 4, 4, 4),
    1024: (8, 8, 4, 4),
    2048: (8, 8, 8, 4),
    2560: (8, 8, 8, 5),
    3584: (8, 8, 8, 7),
    4096: (8, 8, 8, 8),
    5120: (10, 8, 8, 8),
    18944: (37, 8, 8, 8),
    20480: (40, 8, 8, 8),
    27648: (27, 16, 8, 8),
}
"""Factorisations on record for the method (docs/method.md, The operator), used unchanged."""

TOLERATED = 1.5
"""A size is padded only if the sum of its own factors exceeds 1.5 times that of equal factors."""


@dataclass(frozen=True)
class Modes:
    """A size as a product of modes, perhaps of a slightly larger padded size."""

    size: int
    modes: tuple[int, ...]  # the most significant first (row-major); their product is `padded`

    @property
    def padded(self) -> int:
        """Product of the modes, at least `size`; rows beyond `size` are cut off after contraction."""
        return math.prod(self.modes)

    @property
    def padding(self) -> int:
        """Number of entries that are cut off."""
        return self.padded - self.size

    def __str__(self) -> str:
        text = f"{self.size} = {' x '.join(map(str, self.modes))}"
        return f"{text} - {self.padding} (padded)" if self.padding else text


def _factorisations(size: int, parts: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to write size as `parts` factors in falling order, none above `largest`."""
    if parts == 1:
        if size <= largest:
            yield (size,)
        return
    for factor in range(min(size, largest), 0, -1):
        if factor**parts < size:
            return
        if size % factor == 0:
            for rest in _factorisations(size // factor, parts - 1, factor):
                yield (factor, *rest)


@lru_cache(maxsize=1024)
def choose_modes(size: int, given: Sequence[int] | None = None) -> Modes:
    """Return the modes of a size: the given ones, the recorded ones, or those by rule.

    The rule: of the ways to write the size as four factors in falling order, take the one with the smallest sum. If
    that sum exceeds 1.5 times that of four equal real factors, 4 size^(1/4) (a prime, or twice a prime), pad to the
    next larger size whose sum does not. The result depends on the size only, so a saved adapter always means the same.
    """
    if size < 1:
        raise QweftError(f"a matrix product operator needs sizes of at least 1, got {size}")
    if given is not None:
        modes = tuple(given)
        if any(mode < 1 for mode in modes) or math.prod(modes) < size:
            raise QweftError(f"modes {list(modes)} do not cover size {size}: their product must be at least {size}")
        return Modes(size, modes)
    if size in RECORDED:
        return Modes(size, RECORDED[size])
    padded = size
    while True:
        # the smallest sum, which estimates the parameters at a fixed bond and other side
        modes = min(_factorisations(padded, CORES, padded), key=lambda modes: (sum(modes), modes))
        if sum(modes) <= TOLERATED * CORES * padded ** (1 / CORES):
            return Modes(size, modes)
        padded += 1
