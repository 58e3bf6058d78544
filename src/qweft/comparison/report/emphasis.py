"""Which methods a figure names beside their lines: all where they are few, otherwise those that a reader looks for."""

from collections.abc import Mapping

from qweft.comparison.results import BASE
from qweft.comparison.summary import Summary

MOST = 8
"""So many names fit beside the ends of lines and are still found at a glance."""

BEST = 3
"""So many places are kept for the lowest held-out losses, whatever the methods are."""


def emphasised(summary: Mapping[str, Summary]) -> frozenset[str]:
    """The methods that figures name directly; the others are told by the key alone.

    Up to `MOST` methods all of them. Of more: the reference, the `BEST` lowest held-out losses, then hybrids, LoRAs and
    networks without a circuit, each by their loss, then others by theirs.

    Args:
        summary: From `summarise`.
    """
    methods = [entry for entry in summary.values() if entry.method != BASE]
    if len(methods) <= MOST:
        return frozenset(entry.method for entry in methods)
    by_loss = sorted(methods, key=lambda entry: (entry.eval_loss is None, entry.eval_loss or 0.0))
    first = [entry for entry in methods if entry.method == entry.reference] + by_loss[:BEST]
    asked = [entry for kind in ("hybrid", "lora", "no_circuit") for entry in by_loss if entry.kind == kind]
    ordered = dict.fromkeys(entry.method for entry in (*first, *asked, *by_loss))
    return frozenset(list(ordered)[:MOST])
