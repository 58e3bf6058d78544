"""What measuring an adapter will be and take, before anything is measured."""

from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.devices.jobs import Estimate
from qweft.plural import many


@dataclass(frozen=True)
class Plan:
    """A run before it is made.

    Args:
        measures: In words: what of the rows is measured, in which layers.
        dtype: Type of the model's numbers.
        settings: Numbers of shots times strengths of noise.
        estimate: What all of it takes at most.
    """

    measures: str
    dtype: str
    settings: int
    estimate: Estimate

    def headline(self) -> str:
        """In one sentence."""
        return (
            f"{self.measures}, model in {self.dtype}; {many(self.settings, 'setting')}, at most "
            f"{many(self.estimate.circuits, 'circuit')}"
        )

    def describe(self) -> Group:
        """For the terminal."""
        return Group(Text(self.headline()), self.estimate.describe())

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {
            "measures": self.measures, "dtype": self.dtype, "settings": self.settings,
            "estimate": self.estimate.to_json(),
        }  # fmt: skip
