"""Results of an inspection: numbers of each layer, their means, and their JSON form."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from qweft.inspect.dequantise import Dequantised
from qweft.inspect.tokens import Norms


@dataclass(frozen=True)
class LayerInspection:
    """Measurements of one adapted layer: the numbers that apply, by name; see `docs/analysis.md`."""

    layer: str
    rank: int
    numbers: Mapping[str, float | None]
    spectrum: Sequence[float]
    gradient_norms: Norms | None

    @property
    def module(self) -> str:
        """Last part of the name, such as q_proj."""
        return self.layer.rpartition(".")[2]

    @property
    def block(self) -> int | None:
        """First number in the name, such as 3 in model.layers.3.self_attn.q_proj; `None` without a number."""
        found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", self.layer)
        return int(found[1]) if found else None

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON-compatible values."""
        place = {"layer": self.layer, "module": self.module, "block": self.block, "rank": self.rank}
        return {**place, **self.numbers, "spectrum": self.spectrum, "gradient_norms": self.gradient_norms}


def means(layers: Sequence[LayerInspection]) -> dict[str, float | None]:
    """Return the mean of each number over the layers that have it; `None` if no layer has it."""
    means: dict[str, float | None] = {}
    for name in dict.fromkeys(name for layer in layers for name in layer.numbers):
        values = [value for layer in layers if (value := layer.numbers.get(name)) is not None]
        means[name] = fmean(values) if values else None
    return means


@dataclass(frozen=True)
class Inspection:
    """Measurements of one adapter on some text."""

    adapter: str
    rows: int
    tokens: int
    layers: Sequence[LayerInspection]
    left_out: Sequence[str] = ()
    unreached: Sequence[str] = ()
    dequantised: Dequantised | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields and the means as JSON-compatible values with six significant digits."""
        values = vars(self) | {
            "layers": [layer.to_json() for layer in self.layers],
            "means": means(self.layers),
            "dequantised": self.dequantised and asdict(self.dequantised),
        }
        rounded: dict[str, Any] = json.loads(json.dumps(values), parse_float=lambda text: float(f"{float(text):.6g}"))
        return rounded
