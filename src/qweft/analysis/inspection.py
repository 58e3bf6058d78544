"""Results of an inspection: numbers of each layer, their means, and their JSON form."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from qweft.analysis.dequantise import Dequantised
from qweft.analysis.tokens import Norms

OF_THE_BRANCH = (
    *("relative_size", "non_affinity", "non_affinity_output"),
    *("circuit_share", "circuit_share_varying", "linear_share", "cross_share"),
    *("entanglement", "entanglement_sd", "expressibility", "expressibility_ansatz"),
    *("gradient_variance", "gradient_variance_mean"),
)
"""Numbers of a layer beside those of `Spread`."""


@dataclass(frozen=True)
class LayerInspection:
    """Measurements of one adapted layer: numbers by name, `None` where one does not apply; see `docs/analysis.md`."""

    layer: str
    rank: int
    numbers: Mapping[str, float | None]
    spectrum: Sequence[float]
    gradient_norms: Norms | None = None

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
    found = {
        name: [value for layer in layers if (value := layer.numbers[name]) is not None] for name in layers[0].numbers
    }
    return {name: fmean(values) if values else None for name, values in found.items()}


@dataclass(frozen=True)
class Inspection:
    """Measurements of one adapter on some text."""

    adapter: str
    kind: Literal["qwthn", "lora"]
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
