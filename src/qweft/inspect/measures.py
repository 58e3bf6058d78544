"""The measures of an inspection in words, read from its JSON: for a comparison's report and for the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

EMPTY = "–"
"""What stands for a number that is not there."""
ROUNDING = 1e-7
"""Numbers nearer to zero than this are rounding errors: such a share is zero in exact arithmetic."""


@dataclass(frozen=True)
class Measure:
    """One quantity of a layer; docs/analysis.md has its formula."""

    key: str
    title: str
    meaning: str
    percent: bool = False

    def said(self, number: float) -> str:
        """Return a number as text; rounding errors become zero."""
        value = 100 * number if self.percent else number
        return ("0" if abs(value) < ROUNDING else f"{value:.3g}") + "%" * self.percent


MEASURES = (
    Measure("effective_rank_token", "Effective rank at one token", "By the energy of the branch's Jacobian."),
    Measure("rank_input", "Directions read by all tokens together", "At most the adapter's rank, as for LoRA."),
    Measure("rank_output", "Directions written by all tokens together", "At most the adapter's rank, as for LoRA."),
    Measure("effective_rank_input", "Effective rank of the input", "Directions that any token reads, by energy."),
    Measure("effective_rank_output", "Effective rank of the output", "Directions that any token writes, by energy."),
    Measure("different_maps", "Different maps over the tokens", "1 for every linear branch, as LoRA's is."),
    Measure("rank_maps", "Linearly independent maps", "1 for a linear branch, at most the square of the rank."),
    Measure("varying_share", "What of the Jacobian varies", "0 for every linear branch.", percent=True),
    Measure("relative_size", "Size of the update", "As a share of the frozen layer's output.", percent=True),
    Measure("non_affinity", "What no affine map explains", "Near 0%, a LoRA with a bias does the same.", percent=True),
    Measure("non_affinity_output", "... weighted as the model sees it", "Of the branch's output.", percent=True),
    Measure("circuit_share", "What passes through the circuit", "Above 100% where parts cancel.", percent=True),
    Measure("circuit_share_varying", "... and differs between tokens", "The rest is a bias or a weight.", percent=True),
    Measure("linear_share", "What is linear in the input", "Share of the update's mean square.", percent=True),
    Measure("cross_share", "What both parts share", "Negative where they cancel.", percent=True),
    Measure("entanglement", "Entanglement of the circuit's states", "Meyer-Wallach: 0 for product states, at most 1."),
    Measure("expressibility", "Distance of the states from random ones", "In nats: 0 reaches all states alike."),
    Measure("expressibility_ansatz", "... over random angles", "Of the untrained circuit."),
    Measure("gradient_variance", "Variance of the circuit's gradient at the start", "Near 0 on a barren plateau."),
    Measure("gradient_variance_mean", "... mean over all angles", "Of every angle."),
    Measure("gradient_norms.circuit", "Gradient of the circuit or its stand-in", "Norm of the loss's gradient."),
    Measure("gradient_norms.tensor_network", "Gradient of the tensor networks", "Norm of the loss's gradient."),
    Measure("gradient_norms.linear", "Gradient of the linear maps", "Norm of the loss's gradient."),
)
"""The measures of a report, in this order."""

REPLACED = {"constant": "constants", "affine": "affine maps", "quadratic": "quadratics", "fourier": "Fourier series"}
"""Fits that take the place of circuits, in a sentence."""
KEPT = "Fitted on half of some validation rows, judged on the others; small, the standard error over rows."


@dataclass(frozen=True)
class Inspection:
    """One method's inspection, at its first seed."""

    rows: int | None
    tokens: int | None
    cells: Mapping[tuple[str, str], tuple[str, str]]  # mean over layers with its range or error, by title and meaning


def inspections(records: Sequence[Mapping[str, Any]]) -> dict[str, Inspection]:
    """Return the inspections of a results.json by method; empty if nothing was inspected."""
    found: dict[str, Inspection] = {}
    for record in records:
        own, method = record.get("inspection") or {}, str(record["method"])
        if own.get("layers") and method not in found:
            found[method] = Inspection(own.get("rows"), own.get("tokens"), _cells(own))
    return found


def _cells(inspection: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, str]]:
    cells: dict[tuple[str, str], tuple[str, str]] = {}
    for measure in MEASURES:
        numbers = [_number(layer, measure.key) for layer in inspection["layers"]]
        values = [number for number in numbers if number is not None]
        mean, spread = EMPTY, ""
        if values:
            mean, least, most = map(measure.said, (fmean(values), min(values), max(values)))
            spread = "" if least == most else f"{least.removesuffix('%')} to {most}"
        cells[measure.title, measure.meaning] = mean, spread
    for kind, words in REPLACED.items():
        share, error = (_number(inspection, f"dequantised.fits.{kind}.{name}") for name in ("kept", "kept_error"))
        kept = EMPTY if share is None else f"{share:.1%}"
        title = f"Gain over the base model kept with {words} for its circuits"
        cells[title, KEPT] = kept, "" if error is None else f"± {100 * error:.1f}"
    return cells


def _number(record: Mapping[str, Any], key: str) -> float | None:
    """Return the number at a (dotted) key, or `None` if it is missing, NaN or infinity."""
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def measure_rows(found: Mapping[str, Inspection]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return rows of a table: title, meaning, and for each method the mean over layers with the range or the error."""
    titles = dict.fromkeys(title for entry in found.values() for title in entry.cells)
    rows = [(*title, [entry.cells[title] for entry in found.values()]) for title in titles]
    return [row for row in rows if any(mean != EMPTY for mean, _ in row[2])]
