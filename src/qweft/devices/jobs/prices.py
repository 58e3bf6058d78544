"""Prices of devices: the user's list, the shipped list, and entries of providers."""

import fnmatch
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from qweft import yaml_file
from qweft.devices.device import DeviceError
from qweft.devices.registry import families
from qweft.errors import QweftError
from qweft.files import named_path
from qweft.schema import Reader, build

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

    def __add__(self, other: "Charge") -> "Charge":
        return Charge(_sum(self.money, other.money), _sum(self.seconds, other.seconds), self.currency or other.currency)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


@dataclass(frozen=True)
class Price:
    """Price of a device. `prices.yaml` explains each number.

    Args:
        match: Patterns for the device's name, or one of them.
        currency: Currency of the prices.
        job: Price of a job.
        circuit: Price of a circuit.
        shot: Price of a shot of a circuit.
        second: Price of a second on the device.
        seconds_a_job: Seconds of a job in addition to its shots.
        seconds_a_shot: Seconds of a shot of a circuit.
        source: Where the numbers were read.
        date: When they were read.

    Raises:
        DeviceError: A number is negative or not finite, or a price has no currency.
    """

    match: list[str] | str
    currency: str = ""
    job: float | None = None
    circuit: float | None = None
    shot: float | None = None
    second: float | None = None
    seconds_a_job: float | None = None
    seconds_a_shot: float | None = None
    source: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        for name in (*PRICED, "seconds_a_job", "seconds_a_shot"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise DeviceError(f"price of {self.name}: {name}: expected a number of at least 0, got {value}")
        if not self.currency and any(getattr(self, name) for name in PRICED):
            raise DeviceError(f"price of {self.name}: it has no currency; add one, for example currency: USD")

    @property
    def patterns(self) -> Sequence[str]:
        """Patterns for the device's name."""
        return [self.match] if isinstance(self.match, str) else self.match

    @property
    def name(self) -> str:
        """The first pattern."""
        return next(iter(self.patterns), "")

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
        return any(fnmatch.fnmatchcase(device.lower(), pattern.lower()) for pattern in self.patterns)

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


@dataclass(frozen=True)
class _File:
    devices: list[Price]


class PriceList:
    """Prices by device name, in order of precedence. The first match applies."""

    def __init__(self, prices: Sequence[Price]) -> None:
        self.prices = tuple(prices)

    @classmethod
    def load(cls, path: Path | None = None) -> "PriceList":
        """Load the user's list, followed by the shipped list and the entries of providers."""
        named = path or (named_path(os.environ["QWEFT_PRICES"]) if os.environ.get("QWEFT_PRICES") else None)
        own = named or Path.home() / ".config" / "qweft" / "prices.yaml"
        prices: list[Price] = []
        try:
            if named is not None or own.is_file():
                prices += _prices(yaml_file.load(yaml_file.read_text(own), str(own), is_file=True), str(own))
            shipped = (files("qweft.devices.jobs") / "prices.yaml").read_text(encoding="utf-8")
            prices += _prices(yaml_file.load(shipped, "prices.yaml", is_file=True), "prices.yaml")
            for family, provider in families().items():
                prices += _prices({"devices": list(provider.prices)}, f"prices of {family}")
        except QweftError as error:
            raise DeviceError(f"price list {error}") from error
        return cls(prices)

    def of(self, device: str) -> Price:
        """Return the price of a device, or an unknown price if no pattern matches its name."""
        return next((price for price in self.prices if price.fits(device)), Price([]))

    def by_pattern(self) -> dict[str, Price]:
        """Return the price of each entry by its first pattern, or of an earlier entry that decides for that pattern.

        A pattern with brackets does not match itself as a name, so it is not looked up as one.
        """
        found: dict[str, Price] = {}
        for number, price in enumerate(self.prices):
            earlier = next((one for one in self.prices[:number] if one.fits(price.name)), price)
            found.setdefault(price.name, earlier)
        return found


def _prices(content: Any, where: str) -> list[Price]:
    listed = build(_File, Reader(_File, where).check(_File, content, ""), where)
    return [Price(**entry) for entry in listed.devices]
