"""Measurements inside each method's adapters, layer by layer, as results.json holds them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from qweft.comparison.table import EMPTY

ROUNDING = 1e-7
"""Numbers nearer to zero than this are rounding errors: such a share is zero in exact arithmetic."""

Place = Literal["open", "folded", "table"]


@dataclass(frozen=True)
class Measure:
    """One quantity of a layer; docs/analysis.md has its formula."""

    key: str
    title: str
    meaning: str
    place: Place = "folded"
    percent: bool = False

    def said(self, number: float | None) -> str:
        """Return a number for a table, or the dash; rounding errors become zero."""
        if number is None:
            return EMPTY
        value = 100 * number if self.percent else number
        if abs(value) < ROUNDING:
            text = "0"
        elif abs(value) >= 0.1:
            text = f"{value:.1f}" if self.percent or abs(value) >= 10 else f"{value:.2f}"
        else:
            text = f"{value:.2g}"
        return text + self.unit

    def exactly(self, number: float, digits: int = 4) -> str:
        """Return a number with the given number of significant digits."""
        value = 100 * number if self.percent else number
        return f"{0 if abs(value) < ROUNDING else value:.{digits}g}{self.unit}"

    @property
    def unit(self) -> str:
        """The unit after a number."""
        return "%" if self.percent else ""


MEASURES = (
    Measure(
        "effective_rank_token",
        "Effective rank at one token",
        "Directions that share the energy of the branch's Jacobian at a token, mean over tokens; at most the rank.",
        "open",
    ),
    Measure(
        "rank_input",
        "Directions read by all tokens together",
        "Numerical rank of all Jacobians below each other: at most the adapter's rank, as for LoRA.",
        "table",
    ),
    Measure(
        "rank_output",
        "Directions written by all tokens together",
        "Numerical rank of all Jacobians beside each other: at most the adapter's rank, as for LoRA.",
        "table",
    ),
    Measure("effective_rank_input", "Effective rank of the input", "Directions that any token reads, by their energy."),
    Measure(
        "effective_rank_output", "Effective rank of the output", "Directions that any token writes, by their energy."
    ),
    Measure(
        "different_maps",
        "Different maps over the tokens",
        "How many linear maps the branch is in effect: 1 for every linear branch, as LoRA's is.",
        "open",
    ),
    Measure(
        "rank_maps",
        "Linearly independent maps",
        "Numerical rank of the Jacobians as vectors: 1 for a linear branch, at most the square of the rank.",
        "table",
    ),
    Measure(
        "varying_share",
        "What of the Jacobian varies",
        "Share of its mean square that is not in the mean over tokens: 0 for every linear branch.",
        percent=True,
    ),
    Measure(
        "relative_size",
        "Size of the update",
        "The branch's output as a share of the frozen layer's, both root mean squares.",
        "open",
        percent=True,
    ),
    Measure(
        "non_affinity",
        "What no affine map explains",
        "Share of the variance of the core's output beyond the best affine map of its input, judged on tokens that the "
        "fit has not seen. Near 0%, a LoRA with a bias does the same.",
        "open",
        percent=True,
    ),
    Measure(
        "non_affinity_output",
        "... weighted as the model sees it",
        "The same of the branch's output.",
        "table",
        percent=True,
    ),
    Measure(
        "circuit_share",
        "What passes through the circuit",
        "Share of the update's mean square; for a stand-in, what passes through that. Above 100% where parts cancel. "
        "Always 100% where the circuit weights, h = q(c) · c.",
        "open",
        percent=True,
    ),
    Measure(
        "circuit_share_varying",
        "... and differs from token to token",
        "Share of the update's mean square. Where the circuit adds to the update, the rest of its part is a bias. "
        "Where it weights or gates there is none: its mean is a fixed weight, which counts as linear in the input.",
        "open",
        percent=True,
    ),
    Measure(
        "linear_share",
        "What is linear in the input",
        "Share of the update's mean square that passes beside the circuit or, where the circuit weights or gates, "
        "through its mean.",
        percent=True,
    ),
    Measure(
        "cross_share",
        "What both parts share",
        "Twice their inner product, as a share of the update's mean square: negative where they cancel.",
        "table",
        percent=True,
    ),
    Measure(
        "entanglement",
        "Entanglement of the circuit's states",
        "Meyer-Wallach, mean over tokens: 0 for product states, at most 1. Much of it is no sign of use: random states "
        "have much.",
        "open",
    ),
    Measure(
        "expressibility",
        "Distance of the circuit's states from random ones",
        "Divergence of their fidelities over the tokens from those of Haar-random states, in nats: 0 "
        "reaches all states alike.",
    ),
    Measure(
        "expressibility_ansatz",
        "... over random angles",
        "The same of the untrained circuit: what its form could reach.",
        "table",
    ),
    Measure(
        "gradient_variance",
        "Variance of the circuit's gradient at the start",
        "Of the derivative of the first qubit's value by its first trained rotation, over random starts: it falls "
        "towards 0 on a barren plateau.",
        "table",
    ),
    Measure("gradient_variance_mean", "... mean over all angles", "The same of every angle.", "table"),
    Measure("gradient_norms.circuit", "Gradient of the circuit or its stand-in", "Norm of the loss's gradient."),
    Measure("gradient_norms.tensor_network", "Gradient of the tensor networks", "Norm of the loss's gradient."),
    Measure("gradient_norms.linear", "Gradient of the linear maps", "Norm of the loss's gradient."),
)
"""The measures of a report, in this order."""


REPLACED = {
    "constant": "constants",
    "affine": "affine maps",
    "quadratic": "quadratics",
    "fourier": "Fourier series",
}
"""Fits that take the place of circuits, in a sentence."""


@dataclass(frozen=True)
class Inspection:
    """One method's layers; each number is the mean over the seeds that have it."""

    method: str
    layers: tuple[tuple[str, int], ...]
    values: dict[str, dict[tuple[str, int], float]]
    spectrum: tuple[float, ...]
    rows: int | None
    tokens: int | None
    kept: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    chips: Mapping[str, Any] = field(default_factory=dict)

    @property
    def modules(self) -> list[str]:
        """Name of the modules, each once."""
        return list(dict.fromkeys(module for module, _ in self.layers))

    def over_layers(self, key: str) -> tuple[float, float, float] | tuple[None, None, None]:
        """Return a measure's mean, minimum and maximum over layers; `None` if no layer has it."""
        found = list(self.values.get(key, {}).values())
        return (sum(found) / len(found), min(found), max(found)) if found else (None, None, None)

    def modules_with(self, key: str) -> list[str]:
        """Return the modules that have a measure, in order."""
        having = {module for module, _ in self.values.get(key, {})}
        return [module for module in self.modules if module in having]

    def row(self, key: str, module: str) -> list[tuple[int, float]]:
        """Return a module's blocks with their numbers."""
        return [(block, number) for (name, block), number in self.values[key].items() if name == module]


def inspections(records: Sequence[Mapping[str, Any]]) -> dict[str, Inspection]:
    """Return the inspections of a results.json by method; empty if nothing was inspected."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if (record.get("inspection") or {}).get("layers"):
            grouped.setdefault(str(record["method"]), []).append(record["inspection"])
    return {method: _joined(method, found) for method, found in grouped.items()}


def shown(found: Mapping[str, Inspection]) -> list[Measure]:
    """Return the measures that some method has."""
    return [measure for measure in MEASURES if any(entry.values.get(measure.key) for entry in found.values())]


def mapped(found: Mapping[str, Inspection]) -> list[Measure]:
    """Return the measures that are drawn as heat maps."""
    return [measure for measure in shown(found) if measure.place != "table"]


def _kept(inspection: Mapping[str, Any]) -> dict[str, tuple[float, float | None]]:
    """Return the shares of the gain that were measured, by fit."""
    fits = (inspection.get("dequantised") or {}).get("fits") or {}
    shares = {kind: (number_at(fits, f"{kind}.kept"), number_at(fits, f"{kind}.kept_error")) for kind in REPLACED}
    return {kind: (share, error) for kind, (share, error) in shares.items() if share is not None}


def _joined(method: str, found: Sequence[Mapping[str, Any]]) -> Inspection:
    """Merge one method's inspections over its seeds."""
    layers = [layer for inspection in found for layer in _told_apart(inspection["layers"])]
    places = {_place(layer): None for layer in layers}
    values: dict[str, dict[tuple[str, int], float]] = {}
    for measure in MEASURES:
        collected: dict[tuple[str, int], list[float]] = {}
        for layer in layers:
            number = number_at(layer, measure.key)
            if number is not None:
                collected.setdefault(_place(layer), []).append(number)
        values[measure.key] = {place: sum(numbers) / len(numbers) for place, numbers in collected.items()}
    first = found[0]
    return Inspection(
        method,
        tuple(places),
        values,
        _spectrum(layers),
        first.get("rows"),
        first.get("tokens"),
        _kept(first),
        first["chips"] if isinstance(first.get("chips"), Mapping) else {},
    )


def _told_apart(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return layers of which those of one module name and block have longer names, as GPT-2's attn.c_proj."""
    met = Counter(map(_place, layers))
    return [
        layer if met[_place(layer)] == 1 else {**layer, "module": ".".join(str(layer["layer"]).split(".")[-2:])}
        for layer in layers
    ]


def _place(layer: Mapping[str, Any]) -> tuple[str, int]:
    return str(layer["module"]), int(layer["block"] or 0)  # a layer outside the blocks has no block number


def number_at(layer: Mapping[str, Any], key: str) -> float | None:
    """Return the number at a (dotted) key, or `None` if it is missing, NaN or infinity."""
    value: Any = layer
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _spectrum(layers: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """Return the mean of the layers' spectra, each as shares of its largest value, with the length of the longest."""
    shares = []
    for layer in layers:
        spectrum = [float(value) for value in layer.get("spectrum") or [] if value is not None]
        if spectrum and max(spectrum) > 0:
            shares.append([value / max(spectrum) for value in spectrum])
    if not shares:
        return ()
    longest = max(map(len, shares))
    table = np.array([[*share, *[np.nan] * (longest - len(share))] for share in shares])
    return tuple(float(value) for value in np.nanmean(table, axis=0))


def replacements(found: Mapping[str, Inspection]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a title for each fit that some method has, with each method's share of the gain and its error, as text."""
    rows = []
    for kind, words in REPLACED.items():
        shares = [entry.kept.get(kind) for entry in found.values()]
        if any(share is not None for share in shares):
            cells = [(EMPTY, "") if share is None else _share_said(*share) for share in shares]
            rows.append((f"Gain over the base model kept with {words} for its circuits", cells))
    return rows


def _share_said(share: float, error: float | None) -> tuple[str, str]:
    return f"{100 * share:.1f}%", "" if error is None else f"± {100 * error:.1f}"


def chip_rows(found: Mapping[str, Inspection]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return rows on one training with its circuits on a chip: circuits, shots, and the money on the cheapest chip."""
    circuits = [_circuits_said(entry.chips) for entry in found.values()]
    if not any(said for said, _ in circuits):
        return []
    money = [_money_said(entry.chips) for entry in found.values()]
    rows = [("Circuits of one training on a chip, at most", circuits), ("Money for them on the cheapest chip", money)]
    return [(title, [(said or EMPTY, more) for said, more in cells]) for title, cells in rows]


def _circuits_said(chips: Mapping[str, Any]) -> tuple[str, str]:
    count, shots, error = (number_at(chips, key) for key in ("evaluations", "shots", "standard_error"))
    if count is None or shots is None or error is None:
        return "", ""
    return f"{count:,.0f}", f"of {shots:,.0f} shots, standard error {error:g}"


def _money_said(chips: Mapping[str, Any]) -> tuple[str, str]:
    """Return the least price in each currency: numbers of two currencies cannot be compared."""
    least: dict[str, Mapping[str, Any]] = {}
    for cost in chips.get("costs") or []:
        currency = str(cost["currency"])
        least[currency] = min(least.get(currency, cost), cost, key=lambda each: float(each["money"]))
    money = " or ".join(f"{each['money']:,.0f} {currency}" for currency, each in least.items())
    return money, "; ".join(f"{each['device']}, price of {each['date']}" for each in least.values())
