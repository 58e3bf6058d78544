"""What devices there are, for a user who chooses one."""

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qweft.devices.jobs.prices import PriceList

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Entry:
    """A device, or a family of devices with one price.

    Args:
        name: As it is typed; capitals stand for what is to be filled in.
        what: What it does.
        packages: Packages that it needs.
        extra: Our extra that installs them; empty where nothing is needed.
    """

    name: str
    what: str
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(package for package in self.packages if importlib.util.find_spec(package) is None)

    @property
    def install(self) -> str:
        """How what is missing is installed; empty where nothing is."""
        return f"pip install 'qweft[{self.extra}]'" if self.missing else ""

    def price(self) -> str:
        """What the price list says, in words."""
        price = PriceList.load().of(self.name)
        if price.free:
            return "nothing"
        if not price.known:
            return "not known"
        parts = [
            f"{value:g} a {name}"
            for name in ("job", "circuit", "shot", "second")
            if (value := getattr(price, name)) is not None
        ]
        return f"{price.currency} {', '.join(parts)} ({price.date})"

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return asdict(self) | {"missing": list(self.missing), "install": self.install, "price": self.price()}


ENTRIES = (
    Entry("exact", "probabilities from the state vector"),
    Entry("shots", "counts drawn from the exact probabilities"),
    Entry("noisy", "counts or probabilities under a noise model"),
    Entry("rehearsal:DEVICE", "a device of this machine as if it were a provider's: jobs, a queue, ids"),
    Entry("pennylane:default.qubit", "PennyLane's simulator", ("pennylane",), "pennylane"),
    Entry(
        "pennylane:DEVICE", "any PennyLane device, through its plugins Braket, IonQ, IBM", ("pennylane",), "pennylane"
    ),
    Entry("qiskit:aer", "Qiskit Aer", ("qiskit", "qiskit_aer"), "qiskit"),
    Entry("qiskit:fake_NAME", "Aer with the noise of an IBM chip", ("qiskit_aer", "qiskit_ibm_runtime"), "qiskit"),
    Entry("qiskit:ibm_NAME", "IBM's chips; takes jobs", ("qiskit", "qiskit_ibm_runtime"), "qiskit"),
    Entry("origin:cpu", "pyqpanda3's simulator", ("pyqpanda3",), "origin"),
    Entry("origin:CHIP", "Origin's chips; takes jobs", ("pyqpanda3",), "origin"),
)


def catalogue() -> Sequence[Entry]:
    """The devices that a user may name."""
    return ENTRIES


def describe(entries: Sequence[Entry]) -> "Table":
    """As a table for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("device", "what it is", "installed", "costs", box=SIMPLE_HEAD)
    for entry in entries:
        table.add_row(entry.name, entry.what, entry.install or "yes", entry.price())
    return table
