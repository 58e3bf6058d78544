"""Prices of devices: the user's list, then the shipped list."""

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.core.schema import Reader, build
from qweft.devices.device import DeviceError

Amount = Annotated[float, Ge(0)] | None


@dataclass(frozen=True)
class Charge:
    """Jobs, circuits and what they are estimated to cost; `None` where no price or no speed of the device is known."""

    jobs: int
    circuits: int
    money: float | None
    seconds: float | None
    currency: str = ""


@dataclass(frozen=True)
class Price:
    """Price of a device. `prices.yaml` explains each number; `match` has patterns for the device's name."""

    match: list[str] | str
    currency: str = ""
    job: Amount = None
    circuit: Amount = None
    shot: Amount = None
    second: Amount = None
    seconds_a_job: Amount = None
    seconds_a_shot: Amount = None
    source: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        if not self.currency and any(self.amounts.values()):
            raise DeviceError(f"price of {self.match}: it has no currency; add one, for example currency: USD")

    @property
    def patterns(self) -> Sequence[str]:
        """Patterns for the device's name; the first one is the price's name."""
        return [self.match] if isinstance(self.match, str) else self.match

    @property
    def amounts(self) -> dict[str, float]:
        """The given prices."""
        priced = ("job", "circuit", "shot", "second")
        return {name: value for name in priced if (value := getattr(self, name)) is not None}

    @property
    def free(self) -> bool:
        """Whether prices are given and all are zero."""
        return bool(self.amounts) and not any(self.amounts.values())

    @property
    def counts_shots(self) -> bool:
        """Whether money or time depends on the number of shots."""
        return bool(self.shot or self.seconds_a_shot)

    def in_words(self) -> str:
        """Return "USD 0.3 a circuit, 0.001 a shot (2026-09)", "nothing" or "not known"."""
        if self.free or not self.amounts:
            return "nothing" if self.free else "not known"
        parts = ", ".join(f"{value:g} a {name}" for name, value in self.amounts.items())
        return f"{self.currency} {parts} ({self.date})"

    def charge(self, jobs: int, circuits: int, shots: int) -> Charge:
        """Return the cost of some jobs, with the shots of all circuits together.

        money = job * jobs + circuit * circuits + shot * shots + second * seconds
        seconds = seconds_a_job * jobs + seconds_a_shot * shots
        """
        seconds = None
        if self.seconds_a_job is not None or self.seconds_a_shot is not None:
            seconds = (self.seconds_a_job or 0.0) * jobs + (self.seconds_a_shot or 0.0) * shots
        if not self.amounts or (self.second and seconds is None):
            return Charge(jobs, circuits, None, seconds, self.currency)
        money = (self.job or 0.0) * jobs + (self.circuit or 0.0) * circuits + (self.shot or 0.0) * shots
        return Charge(jobs, circuits, money + (self.second or 0.0) * (seconds or 0.0), seconds, self.currency)


@dataclass(frozen=True)
class PriceList:
    """Prices by device name, in order of precedence. The first match applies."""

    devices: list[Price]

    @classmethod
    def load(cls, path: Path | None = None) -> "PriceList":
        """Load the user's list, or that at the path, followed by the shipped list."""
        prices: list[Price] = []
        named = path or os.environ.get("QWEFT_PRICES")
        own = named_path(str(named or "~/.config/qweft/prices.yaml"))
        try:
            if named or own.is_file():
                prices += cls._read(yaml_file.read_text(own), str(own))
            prices += cls._read((files("qweft.devices") / "prices.yaml").read_text(encoding="utf-8"), "prices.yaml")
        except QweftError as error:
            raise DeviceError(f"price list {error}") from error
        return cls(prices)

    @classmethod
    def _read(cls, text: str, where: str) -> list[Price]:
        content = yaml_file.load(text, where, is_file=True)
        listed = build(cls, Reader(cls, where).check(cls, content, ""), where)
        return [Price(**entry) for entry in listed.devices]

    def of(self, device: str) -> Price:
        """Return the price of a device, or an unknown price if no pattern matches its name. Case is ignored."""
        for price in self.devices:
            if any(fnmatch.fnmatchcase(device.lower(), pattern.lower()) for pattern in price.patterns):
                return price
        return Price([])
