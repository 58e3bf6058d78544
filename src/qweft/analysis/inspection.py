"""Results of an inspection: numbers of each layer, their means, and their JSON form."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
        """Returns all numbers by name, except the spectrum and the gradient norms."""
        spread = asdict(self.spread)
        del spread["spectrum"]
        shares = self.shares
        return {
            **spread,
            "relative_size": self.relative_size,
            "non_affinity": self.non_affinity,
            "non_affinity_output": self.non_affinity_output,
            "circuit_share": shares and shares.circuit,
            "circuit_share_varying": shares and shares.varying,
            "linear_share": shares and shares.linear,
            "cross_share": shares and shares.cross,
            "entanglement": self.entanglement,
            "entanglement_sd": self.entanglement_sd,
            "expressibility": self.expressibility,
            "expressibility_ansatz": self.expressibility_ansatz,
            "gradient_variance": self.gradient_variance,
            "gradient_variance_mean": self.gradient_variance_mean,
        }

    def to_json(self) -> dict[str, Any]:
        """Returns all fields as JSON-compatible values."""
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
    """Returns the mean of each scalar over the layers that have it; `None` if no layer has it."""
    found: dict[str, float | None] = {}
    scalars = [layer.scalars() for layer in layers]
    for name in scalars[0]:
        values = [value for layer in scalars if (value := layer[name]) is not None]
        found[name] = fmean(values) if values else None
    return found


def _rounded(value: Any) -> Any:
    """Rounds all floats in a JSON value to six significant digits."""
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
        """Returns all fields and the means as JSON-compatible values with six significant digits."""
        found: dict[str, Any] = _rounded(self._as_dict())
        return found

    def _as_dict(self) -> dict[str, Any]:
        return {
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
