"""What an inspection found: numbers of each layer, their means, and both as JSON."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from qweft.analysis.jacobian import Spread
from qweft.analysis.layers import Shares
from qweft.analysis.tokens import Norms


@dataclass(frozen=True)
class LayerInspection:
    """One adapted layer. What does not apply is none.

    Args:
        layer: Its name in the base model.
        rank: r.
        spread: Its Jacobians.
        relative_size: rms of the branch's output over rms of the base layer's, on the same tokens.
        non_affinity: Share of the variance of h = core(c) that no affine map of c explains.
        non_affinity_output: The same of E h.
        shares: The shares of the update, with a circuit or a twin in its place.
        entanglement: Mean over tokens of the circuit's Meyer-Wallach entanglement.
        entanglement_sd: Its standard deviation over tokens.
        expressibility: KL divergence to Haar of the trained circuit's states over the tokens.
        expressibility_ansatz: The same of the untrained circuit over random angles.
        gradient_norms: Of the loss, by part.
    """

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
    gradient_norms: Norms | None = None

    @property
    def module(self) -> str:
        """The last part of the name: q_proj."""
        return self.layer.rpartition(".")[2]

    @property
    def block(self) -> int | None:
        """The first number in the name: 3 in model.layers.3.self_attn.q_proj."""
        found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", self.layer)
        return int(found[1]) if found else None

    def scalars(self) -> dict[str, float | None]:
        """Every number but the spectrum and the gradients, by name."""
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
        }

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
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
    """Each scalar's mean over the layers where it is a number; none where it is one nowhere."""
    found: dict[str, float | None] = {}
    scalars = [layer.scalars() for layer in layers]
    for name in scalars[0]:
        values = [value for layer in scalars if (value := layer[name]) is not None]
        found[name] = fmean(values) if values else None
    return found


def _rounded(value: Any) -> Any:
    """Six digits that count: more would only fill files."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Inspection:
    """What one adapter does on some text.

    Args:
        adapter: Its name on the model.
        kind: "qwthn" or "lora".
        rows: Rows of text that ran through the model.
        tokens: Tokens that were looked at in a layer, at most.
        layers: The layers, in the order of the model.
        left_out: Names of layers that have the adapter and are not measured.
        unreached: Names of layers that no token reached.
    """

    adapter: str
    kind: Literal["qwthn", "lora"]
    rows: int
    tokens: int
    layers: Sequence[LayerInspection]
    left_out: Sequence[str] = ()
    unreached: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON can hold it, numbers to six digits."""
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
        }
