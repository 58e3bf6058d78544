"""Noise models: gate and readout errors, given by numbers or by name."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from qweft.core.files import named_path
from qweft.devices.device import DeviceError

Channel = Literal["each", "pair"]
"""What the error of a two-qubit gate acts on, see `NoiseModel`."""


@dataclass(frozen=True)
class NoiseModel:
    """Depolarizing errors after every native gate, and readout errors, the same on all qubits.

    With D_p(rho) = (1 - p) rho + p I/2 on one qubit, which multiplies the expectations of X, Y and Z by 1 - p:

    - after a one-qubit gate: D_p on its qubit, p = `one_qubit`
    - after a CZ, channel "each": D_p on each of the two qubits, p = `two_qubit`
    - after a CZ, channel "pair": (1 - p) rho + p I/4 on both, which multiplies every Pauli product except I I by 1 - p
    - readout: outcome b of a qubit is reported as a with p(a|b): ((p(0|0), p(1|0)), (p(0|1), p(1|1))), a row sums to 1

    D_p applies X, Y or Z with probability p/4 each, so a one-qubit gate fails with probability 3p/4.

    Args:
        name: Its name, for messages.
        source: Where the numbers are from, one sentence.
        one_qubit: p after a one-qubit gate.
        two_qubit: p after a CZ.
        readout: A row for each true outcome b: p(0|b), p(1|b).
        channel: What a CZ's error acts on: either qubit by itself, or the pair.

    Raises:
        DeviceError: A number is no probability, a row does not sum to 1, or the channel is unknown.
    """

    name: str
    source: str
    one_qubit: float
    two_qubit: float
    readout: tuple[tuple[float, float], tuple[float, float]]
    channel: Channel = "each"

    def __post_init__(self) -> None:
        try:
            one_qubit = float(self.one_qubit)
            two_qubit = float(self.two_qubit)
            readout = tuple((float(right), float(wrong)) for right, wrong in self.readout)
        except (TypeError, ValueError):
            raise self._invalid() from None
        is_channel = self.channel in get_args(Channel)
        if not is_channel or not is_probability(one_qubit) or not is_probability(two_qubit) or not is_readout(readout):
            raise self._invalid()
        # numbers of a file may be integers, and rows lists, which are neither equal to others nor hashable
        object.__setattr__(self, "one_qubit", one_qubit)
        object.__setattr__(self, "two_qubit", two_qubit)
        object.__setattr__(self, "readout", readout)

    def _invalid(self) -> DeviceError:
        return DeviceError(
            f"noise {self.name}: one_qubit and two_qubit are numbers from 0 to 1, readout is [[p(0|0), p(1|0)], "
            f"[p(0|1), p(1|1)]] with rows that add up to 1, and channel is each or pair; got {self.identity()}"
        )

    def scale_errors(self, factor: float) -> "NoiseModel":
        """Return the model with every error probability multiplied by the factor; 0 removes all noise."""
        if factor == 1:
            return self
        wrong_in_zero = self.readout[0][1] * factor
        wrong_in_one = self.readout[1][0] * factor
        return replace(
            self,
            name=f"{self.name} times {factor:g}",
            one_qubit=self.one_qubit * factor,
            two_qubit=self.two_qubit * factor,
            readout=((1 - wrong_in_zero, wrong_in_zero), (wrong_in_one, 1 - wrong_in_one)),
        )

    def identity(self) -> str:
        """Return all numbers that results depend on. Models with equal numbers are equal, whatever their names."""
        return f"one_qubit {self.one_qubit!r} two_qubit {self.two_qubit!r} {self.channel} readout {self.readout!r}"

    def readout_map(self) -> tuple[float, float]:
        """Return a = p(0|1) - p(1|0) and b = 1 - p(1|0) - p(0|1) of a + b z, which is reported for a true z."""
        wrong_in_zero = self.readout[0][1]
        wrong_in_one = self.readout[1][0]
        return wrong_in_one - wrong_in_zero, 1 - wrong_in_zero - wrong_in_one


def is_probability(value: float) -> bool:
    """Whether a number is from 0 to 1; NaN is not."""
    return 0 <= value <= 1


def is_readout(rows: tuple[tuple[float, float], ...]) -> bool:
    """Whether rows are two distributions over reported outcomes."""
    return len(rows) == 2 and all(is_distribution(*row) for row in rows)


def is_distribution(zero: float, one: float) -> bool:
    """Whether two numbers are probabilities that add up to 1."""
    return is_probability(zero) and is_probability(one) and abs(zero + one - 1) <= 1e-9


PAPER = NoiseModel(
    "paper",
    "on record in the authors' public code as the noise model of their chip; pyqpanda3 0.5.1 tells what it means",
    one_qubit=0.01,
    two_qubit=0.1,
    readout=((0.95, 0.05), (0.1, 0.9)),
)
MOST_QUBITS = 10
"""A state of 4^10 float64 numbers has 8 MiB. A few are needed at a time, plus 12 MiB of tables per CZ pair."""


def noise_model(name: str | None) -> NoiseModel:
    """Return the noise model of this name or YAML file, whose stem is its name; `None` means the paper's."""
    if name is None or name == PAPER.name:
        return PAPER
    path = named_path(name)
    if not path.is_file():
        raise DeviceError(f"there is no noise model {name}; name {PAPER.name}, or a YAML file")
    from qweft.core import yaml_file  # here: a model by name needs no package for YAML

    fields = yaml_file.load(yaml_file.read_text(path), str(path), is_file=True)
    try:
        return NoiseModel(path.stem, **{"source": f"from {path.name}", **fields})
    except TypeError as error:
        raise DeviceError(
            f"{path}: a noise model has the keys one_qubit, two_qubit and readout, and may have channel and source"
        ) from error
