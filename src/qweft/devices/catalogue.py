"""The list of available devices, with prices."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qweft.devices.jobs.prices import PRICED, Price, PriceList
from qweft.devices.provider import Entry
from qweft.devices.registry import entries

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class PricedEntry(Entry):
    """An `Entry` with its price as text."""

    price: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return all fields, missing packages and the install command."""
        return asdict(self) | {"missing": list(self.missing), "install": self.install}


def _in_words(price: Price) -> str:
    if price.free or not price.known:
        return "nothing" if price.free else "not known"
    parts = [f"{value:g} a {name}" for name in PRICED if (value := getattr(price, name)) is not None]
    return f"{price.currency} {', '.join(parts)} ({price.date})"


def catalogue() -> Sequence[PricedEntry]:
    """Return all devices that a user can name, those without required packages first."""
    prices = PriceList.load()
    priced = [PricedEntry(**vars(entry), price=_in_words(prices.of(entry.name))) for entry in entries()]
    return sorted(priced, key=lambda entry: bool(entry.packages))


def describe(priced: Sequence[PricedEntry]) -> "Group":
    """Return a table for a terminal, followed by the install commands of missing packages.

    The column of names is not narrowed, because users type them; the others wrap.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("device", overflow="fold")
    table.add_column("what it is", ratio=3, overflow="fold")
    table.add_column("installed")
    table.add_column("costs", ratio=2, overflow="fold")
    for entry in priced:
        table.add_row(entry.name, entry.what, "no" if entry.missing else "yes", entry.price)
    commands = dict.fromkeys(f"{entry.extra}: {entry.install}" for entry in priced if entry.missing)
    return Group(table, *([Text("")] if commands else []), *map(Text, commands))
