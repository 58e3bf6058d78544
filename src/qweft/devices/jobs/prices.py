"""Prices of devices: the user's list, the shipped list, and entries of providers."""

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from qweft import yaml_file
from qweft.devices.device import DeviceError
from qweft.devices.registry import families
from qweft.errors import QweftError
from qweft.files import named_path
from qweft.text import shown

PRICED = ("job", "circuit", "shot", "second")


@dataclass(frozen=True)
class Charge:
    """Estimated cost of some circuits.

    Args:
        money: In the currency. `None` if no price is known.
        seconds: Time on the device. `None` if its speed is not known.
        currency: Empty if no price is known or the device is free.
    """

    money: float | None = 0.0
    seconds: float | None = None
    currency: str = ""


@dataclass(frozen=True)
class Price:
    """Price of a device. `prices.yaml` explains each number.

    Args:
        match: Patterns for the device's name.
        currency: Currency of the prices.
        job: Price of a job.
        circuit: Price of a circuit.
        shot: Price of a shot of a circuit.
        second: Price of a second on the device.
        seconds_a_job: Seconds of a job in addition to its shots.
        seconds_a_shot: Seconds of a shot of a circuit.
        source: Where the numbers were read.
        date: When they were read.
    """

    match: tuple[str, ...] = ()
    currency: str = ""
    job: float | None = None
    circuit: float | None = None
    shot: float | None = None
    second: float | None = None
    seconds_a_job: float | None = None
    seconds_a_shot: float | None = None
    source: str = ""
    date: str = ""

    @property
    def known(self) -> bool:
        """Whether any price is given."""
        return any(getattr(self, name) is not None for name in PRICED)

    @property
    def free(self) -> bool:
        """Whether all given prices are zero."""
        return self.known and not any(getattr(self, name) for name in PRICED)

    @property
    def counts_shots(self) -> bool:
        """Whether money or time depends on the number of shots."""
        return bool(self.shot or self.seconds_a_shot)

    def fits(self, device: str) -> bool:
        """Return whether a pattern matches a device's name. Case is ignored."""
        return any(fnmatch.fnmatchcase(device.lower(), pattern.lower()) for pattern in self.match)

    def charge(self, jobs: int, circuits: int, shots: int) -> Charge:
        """Compute the cost of some jobs.

        money = job * jobs + circuit * circuits + shot * circuits * shots + second * seconds
        seconds = seconds_a_job * jobs + seconds_a_shot * circuits * shots
        """
        seconds = None
        if self.seconds_a_job is not None or self.seconds_a_shot is not None:
            seconds = (self.seconds_a_job or 0.0) * jobs + (self.seconds_a_shot or 0.0) * circuits * shots
        if not self.known or (self.second and seconds is None):
            return Charge(None, seconds, self.currency)
        money = (self.job or 0.0) * jobs + (self.circuit or 0.0) * circuits + (self.shot or 0.0) * circuits * shots
        return Charge(money + (self.second or 0.0) * (seconds or 0.0), seconds, self.currency)


class PriceList:
    """Prices by device name. The first match applies.

    Args:
        prices: In order of precedence.
    """

    def __init__(self, prices: Sequence[Price]) -> None:
        self.prices = tuple(prices)

    @classmethod
    def load(cls, path: Path | None = None) -> "PriceList":
        """Load the user's list, followed by the shipped list and the entries of providers."""
        named = path or (named_path(os.environ["QWEFT_PRICES"]) if os.environ.get("QWEFT_PRICES") else None)
        own = named or Path.home() / ".config" / "qweft" / "prices.yaml"
        ours = [*_read((files("qweft.devices.jobs") / "prices.yaml").read_text(encoding="utf-8"), "prices.yaml")]
        for family, provider in families().items():
            ours += [_price(entry, f"prices of {family}, entry {n}") for n, entry in enumerate(provider.prices, 1)]
        if named is None and not own.is_file():
            return cls(ours)
        try:
            text = yaml_file.read_text(own)
        except QweftError as error:
            raise DeviceError(f"price list {error}") from error
        return cls([*_read(text, str(own)), *ours])

    def of(self, device: str) -> Price:
        """Return the price of a device, or an unknown price if no pattern matches its name."""
        return next((price for price in self.prices if price.fits(device)), Price())

    def by_pattern(self) -> dict[str, Price]:
        """Return the price of each entry by its first pattern, or of an earlier entry that decides for that pattern.

        A pattern with brackets does not match itself as a name, so it is not looked up as one.
        """
        found: dict[str, Price] = {}
        for number, price in enumerate(self.prices):
            name = price.match[0]
            if name not in found:
                found[name] = next((one for one in self.prices[:number] if one.fits(name)), price)
        return found


@lru_cache(maxsize=8)  # a list of devices asks for the prices of each
def _read(text: str, where: str) -> tuple[Price, ...]:
    try:
        content = yaml_file.load(text, f"price list {where}", is_file=True)
    except QweftError as error:
        raise DeviceError(str(error)) from error
    entries = content.get("devices") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DeviceError(
            f"price list {where}: expected a list under the key devices, each entry with match and prices"
        )
    return tuple(_price(entry, f"price list {where}, entry {number}") for number, entry in enumerate(entries, 1))


def _price(entry: Any, where: str) -> Price:
    known = {field.name for field in fields(Price)}
    if not isinstance(entry, dict) or not entry.get("match"):
        raise DeviceError(f"{where}: expected a mapping with the key match, got {shown(entry)}")
    for name in set(entry) - known:
        raise DeviceError(f"{where}: unknown key {shown(name)}; known are {', '.join(sorted(known))}")
    values = {name: _value(name, value, where) for name, value in entry.items()}
    if any(values.get(name) for name in PRICED) and not values.get("currency"):
        raise DeviceError(f"{where}: the prices have no currency; add one, for example currency: USD")
    return Price(**values)


def _value(name: str, value: Any, where: str) -> Any:
    if name == "match":
        patterns = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
        if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
            raise DeviceError(f"{where}: match: expected a pattern for names of devices, or a list, got {shown(value)}")
        return patterns
    if name in ("currency", "source", "date"):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise DeviceError(f"{where}: {name}: expected a number of at least 0, got {shown(value)}")
    return float(value)
