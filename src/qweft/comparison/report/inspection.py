"""What was measured inside each method's adapters, layer by layer, as results.json holds it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measure:
    """One quantity of a layer.

    Args:
        key: Its name in the record of a layer; with a dot, an entry of a mapping there.
        title: In a few words.
        meaning: What a reader must know to read its numbers.
    """

    key: str
    title: str
    meaning: str


MEASURES = (
    Measure(
        "effective_rank_token",
        "Effective rank at one token",
        "How many directions the branch's Jacobian uses at a token; mean over tokens.",
    ),
    Measure("effective_rank_input", "Effective rank of the input", "How many directions any token reads, by weight."),
    Measure(
        "effective_rank_output", "Effective rank of the output", "How many directions any token writes, by weight."
    ),
    Measure(
        "different_maps",
        "Different maps over the tokens",
        "Effective number of Jacobians; 1 for a branch that is linear, as LoRA's is.",
    ),
    Measure("relative_size", "Size of the update", "The branch's output as a share of the frozen layer's."),
    Measure(
        "non_affinity",
        "What no affine map explains",
        "Share of the variance of the core's output, on tokens that the fit has not seen.",
    ),
    Measure(
        "circuit_share",
        "What passes through the circuit",
        "Share of the update's mean square, for a twin what passes through it; above 1 where parts cancel.",
    ),
    Measure(
        "circuit_share_varying",
        "... and differs from token to token",
        "Share of the update's mean square; the rest of the circuit's part is a constant.",
    ),
    Measure("entanglement", "Entanglement of the circuit's states", "Mean over tokens; 0 is none, 1 the most."),
    Measure(
        "expressibility",
        "Distance of the circuit's states from random ones",
        "Divergence of their fidelities from those of Haar-random states; lower reaches more of them.",
    ),
    Measure("gradient_norms.circuit", "Gradient of the circuit or its twin", "Norm of the loss's gradient."),
    Measure("gradient_norms.tensor_network", "Gradient of the tensor networks", "Norm of the loss's gradient."),
    Measure("gradient_norms.linear", "Gradient of the linear maps", "Norm of the loss's gradient."),
)
"""What a report shows, in this order."""


@dataclass(frozen=True)
class Inspection:
    """One method's layers, each number the mean over the seeds that have it.

    Args:
        method: Its name.
        layers: Names of the modules in their order, with their block.
        values: For each measure's key and (module, block) the number.
        spectrum: Singular values of the Jacobian, largest first, the mean over layers and seeds of what each is as a
            share of the layer's largest; empty where there is none.
        rows, tokens: What it was measured on, at the first seed.
    """

    method: str
    layers: tuple[tuple[str, int], ...]
    values: dict[str, dict[tuple[str, int], float]]
    spectrum: tuple[float, ...]
    rows: int | None
    tokens: int | None

    @property
    def modules(self) -> list[str]:
        """Names of the modules, each once."""
        return list(dict.fromkeys(module for module, _ in self.layers))

    def mean(self, key: str) -> float | None:
        """A measure's mean over layers."""
        found = list(self.values.get(key, {}).values())
        return sum(found) / len(found) if found else None


def inspections(records: Sequence[Mapping[str, Any]]) -> dict[str, Inspection]:
    """What the runs of a results.json hold, by method; empty where nothing was inspected.

    Args:
        records: The content of "runs".
    """
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if (record.get("inspection") or {}).get("layers"):
            grouped.setdefault(str(record["method"]), []).append(record["inspection"])
    return {method: _joined(method, found) for method, found in grouped.items()}


def shown(found: Mapping[str, Inspection]) -> list[Measure]:
    """The measures that some method has.

    Args:
        found: From `inspections`.
    """
    return [measure for measure in MEASURES if any(entry.values.get(measure.key) for entry in found.values())]


def _joined(method: str, found: Sequence[Mapping[str, Any]]) -> Inspection:
    """One method's inspections at its seeds as one."""
    layers = [layer for inspection in found for layer in inspection["layers"]]
    places = {_place(layer): None for layer in layers}
    values: dict[str, dict[tuple[str, int], float]] = {}
    for measure in MEASURES:
        collected: dict[tuple[str, int], list[float]] = {}
        for layer in layers:
            number = _number(layer, measure.key)
            if number is not None:
                collected.setdefault(_place(layer), []).append(number)
        values[measure.key] = {place: sum(numbers) / len(numbers) for place, numbers in collected.items()}
    first = found[0]
    return Inspection(method, tuple(places), values, _spectrum(layers), first.get("rows"), first.get("tokens"))


def _place(layer: Mapping[str, Any]) -> tuple[str, int]:
    return str(layer["module"]), int(layer["block"])


def _number(layer: Mapping[str, Any], key: str) -> float | None:
    """The number of a (dotted) key, where there is a finite one."""
    value: Any = layer
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _spectrum(layers: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """Mean over layers of the spectra, each a share of its largest value, as long as the longest."""
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
