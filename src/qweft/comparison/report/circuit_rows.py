"""Rows of the report on circuits: the gain kept with a fit in their place, and what a training on a chip would take."""

from collections.abc import Mapping
from typing import Any

from qweft.comparison.report.inspection import REPLACED, Inspection, number_at
from qweft.comparison.table import EMPTY


def replacements(found: Mapping[str, Inspection]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a title for each fit that some method has, with each method's share of the gain and its error, as text."""
    rows = []
    for kind, words in REPLACED.items():
        shares = [entry.kept.get(kind) for entry in found.values()]
        if any(share is not None for share in shares):
            title = f"Gain over the base model kept with {words} for its circuits"
            rows.append((title, [(EMPTY, "") if share is None else _share_said(*share) for share in shares]))
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
