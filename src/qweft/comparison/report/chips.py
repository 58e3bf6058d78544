"""What one training with its circuits on a chip would take: circuits, shots and money, as rows of the report."""

from collections.abc import Mapping
from typing import Any

from qweft.comparison.report.inspection import Inspection, number_at
from qweft.comparison.table import EMPTY
from qweft.text import cut

MOST = 1e18
"""Beyond the circuits or the money of any training."""
CURRENCIES = 3
"""So many are told of a list of prices, which may come from elsewhere."""


def chip_rows(found: Mapping[str, Inspection]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Returns rows on one training with its circuits on a chip: circuits and shots, and the money on the cheapest chip.

    Args:
        found: From `inspections`.
    """
    circuits = [_circuits_said(entry.chips) for entry in found.values()]
    if not any(said for said, _ in circuits):
        return []
    money = [_money_said(entry.chips) for entry in found.values()]
    rows = [("Circuits of one training on a chip, at most", circuits), ("Money for them on the cheapest chip", money)]
    return [(title, [(said or EMPTY, more) for said, more in cells]) for title, cells in rows]


def _circuits_said(chips: Mapping[str, Any]) -> tuple[str, str]:
    count, shots, error = (_amount(chips, key) for key in ("evaluations", "shots", "standard_error"))
    if count is None or shots is None or error is None:
        return "", ""
    return f"{count:,.0f}", f"of {shots:,.0f} shots, standard error {error:g}"


def _money_said(chips: Mapping[str, Any]) -> tuple[str, str]:
    """Says the least price in each currency: numbers of two currencies cannot be compared."""
    costs = chips.get("costs")
    least: dict[str, tuple[float, str]] = {}
    for cost in costs if isinstance(costs, list) else []:
        money = _amount(cost, "money") if isinstance(cost, Mapping) else None
        told = [cost.get(key) for key in ("currency", "device", "date")] if money is not None else []
        if money is None or not all(isinstance(text, str) and text.strip() for text in told):
            continue
        currency, device, date = (cut(" ".join(str(text).split()), 60) for text in told)
        price = (money, f"{device}, price of {date}")
        least[currency] = min(least.get(currency, price), price)
    first = list(least.items())[:CURRENCIES]
    return " or ".join(f"{money:,.0f} {currency}" for currency, (money, _) in first), "; ".join(
        source for _, (_, source) in first
    )


def _amount(record: Mapping[str, Any], key: str) -> float | None:
    """Returns a positive number of a record, `None` if it is none or beyond any training."""
    value = number_at(record, key)
    return value if value is not None and 0 < value < MOST and not isinstance(record[key], bool) else None
