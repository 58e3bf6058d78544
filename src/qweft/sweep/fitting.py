"""Which configurations may be trained: those that can be built, within the budget of parameters."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from qweft.comparison.sizes import count
from qweft.errors import QweftError
from qweft.sweep.config import SweepConfig
from qweft.sweep.space import Point, key_of, resolved


@dataclass
class Fitting:
    """Counts configurations from shapes alone, each once.

    Args:
        config: The sweep.
        model: The base model on the meta device.
        counts: Trained parameters of what was counted; the reason where it cannot be built.
        refused: So many points did not fit, a point counted as often as it was asked for.
    """

    config: SweepConfig
    model: nn.Module
    counts: dict[str, int | str] = field(default_factory=dict)
    refused: int = 0

    def fits(self, point: Point) -> bool:
        """Whether the point may be trained."""
        found = self._count(resolved(self.config, point)[0])
        if isinstance(found, int) and (self.config.max_parameters is None or found <= self.config.max_parameters):
            return True
        self.refused += 1
        return False

    def parameters(self, point: Point) -> int:
        """What the point trains.

        Raises:
            QweftError: If it cannot be built.
        """
        found = self._count(resolved(self.config, point)[0])
        if isinstance(found, str):
            raise QweftError(found)
        return found

    def reason(self, point: Point) -> str:
        """Why the point does not fit."""
        found = self._count(resolved(self.config, point)[0])
        return found if isinstance(found, str) else f"{found:,} parameters, more than max_parameters"

    def _count(self, adapter: dict[str, Any]) -> int | str:
        key = key_of(adapter)
        if key not in self.counts:
            try:
                self.counts[key] = count(self.model, adapter)
            except QweftError as error:
                self.counts[key] = str(error)
        return self.counts[key]
