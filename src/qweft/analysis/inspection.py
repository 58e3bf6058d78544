"""Results of an inspection: numbers of each layer, their means, and their JSON form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from qweft.analysis.dequantise import Dequantised
from qweft.analysis.jacobian import Spread
from qweft.analysis.layers import Shares
from qweft.analysis.tokens import Norms
from qweft.devices.on_chips import ChipTraining


@dataclass(frozen=True)
class LayerInspection:
    """Measurements of one adapted layer. Those that do not apply are `None`."""

    layer: str
    rank: int
    spread: Spread
    relative_size: float | None
    non_affinity: float | None = None
    non_affinity_output: float | None = None
    shares: Shares | None = None
    entanglement: float | None = None
    entanglement_sd: float | None = None
    expressibility: float | None = None
    expressibility_ansatz: float | None = None
    gradient_variance: float | None = None
    gradient_variance_mean: float | None = None
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

    def scalars(self) -> dict[str, float | None]:
        """Return all numbers by name, except the spectrum and the gradient norms."""
        shares = self.shares
        names = ("relative_size", "non_affinity", "non_affinity_output")
        of_states = ("entanglement", "entanglement_sd", "expressibility", "expressibility_ansatz")
        return {
            **{name: value for name, value in vars(self.spread).items() if name != "spectrum"},
            **{name: getattr(self, name) for name in names},
            "circuit_share": shares and shares.circuit,
            "circuit_share_varying": shares and shares.varying,
            "linear_share": shares and shares.linear,
            "cross_share": shares and shares.cross,
            **{name: getattr(self, name) for name in (*of_states, "gradient_variance", "gradient_variance_mean")},
        }

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON-compatible values."""
        return {
            "layer": self.layer,
            "module": self.module,
            "block": self.block,
            "rank": self.rank,
            **self.scalars(),
            "spectrum": self.spread.spectrum,
            "gradient_norms": self.gradient_norms,
        }


def means(layers: Sequence[LayerInspection]) -> dict[str, float | None]:
    """Return the mean of each scalar over the layers that have it; `None` if no layer has it."""
    result: dict[str, float | None] = {}
    scalars = [layer.scalars() for layer in layers]
    for name in scalars[0]:
        values = [value for layer in scalars if (value := layer[name]) is not None]
        result[name] = fmean(values) if values else None
    return result


def _rounded(value: Any) -> Any:
    """Round all floats in a JSON value to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value


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
    chips: ChipTraining | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields and the means as JSON-compatible values with six significant digits."""
        values: dict[str, Any] = {
            "adapter": self.adapter,
            "kind": self.kind,
            "rows": self.rows,
            "tokens": self.tokens,
            "layers": [layer.to_json() for layer in self.layers],
            "means": means(self.layers),
            "left_out": list(self.left_out),
            "unreached": list(self.unreached),
            "dequantised": None if self.dequantised is None else self.dequantised.to_json(),
            "chips": None if self.chips is None else self.chips.to_json(),
        }
        rounded: dict[str, Any] = _rounded(values)
        return rounded
