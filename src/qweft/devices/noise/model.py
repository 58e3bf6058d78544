"""Noise models: gate and readout errors, given by numbers or by name."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from qweft.core.files import named_path
from qweft.devices.device import DeviceError

Channel = Literal["each", "pair"]


@dataclass(frozen=True)
class NoiseModel:
    """Depolarizing errors after every native gate, and readout errors, the same on all qubits.

    With D_p(rho) = (1 - p) rho + p I/2 on one qubit, which multiplies the expectations of X, Y and Z by 1 - p:

    - after a one-qubit gate: D_p on its qubit, p = `one_qubit`
    - after a CZ, channel "each": D_p on each of the two qubits, p = `two_qubit`
    - after a CZ, channel "pair": (1 - p) rho + p I/4 on both, which multiplies every Pauli product except I I by 1 - p
    - readout: outcome b of a qubit is reported as a with p(a|b): ((p(0|0), p(1|0)), (p(0|1), p(1|1))), a row sums to 1

    D_p applies X, Y or Z with probability p/4 each, so a one-qubit gate fails with probability 3p/4.
    """

    name: str
    source: str  # of the numbers, one sentence
    one_qubit: float
    two_qubit: float
    readout: tuple[tuple[float, float], tuple[float, float]]
    channel: Channel = "each"

    def __post_init__(self) -> None:
        try:
            one, two = float(self.one_qubit), float(self.two_qubit)
            readout = tuple((float(right), float(wrong)) for right, wrong in self.readout)
        except (TypeError, ValueError):
            one, two, readout = math.nan, math.nan, ()
        is_valid = all(0 <= each <= 1 for each in (one, two, *sum(readout, ()))) and len(readout) == 2
        if not is_valid or any(abs(sum(row) - 1) > 1e-9 for row in readout) or self.channel not in get_args(Channel):
            raise DeviceError(
                f"noise {self.name}: one_qubit and two_qubit are numbers from 0 to 1, readout is [[p(0|0), p(1|0)], "
                f"[p(0|1), p(1|1)]] with rows that add up to 1, and channel is each or pair; got {self.identity()}"
            )
        for key, value in (("one_qubit", one), ("two_qubit", two), ("readout", readout)):
            object.__setattr__(self, key, value)

    def scaled(self, factor: float) -> "NoiseModel":
        """Return the model with every error probability multiplied by the factor; 0 removes all noise."""
        if factor == 1:
            return self
        up, down = self.readout[0][1] * factor, self.readout[1][0] * factor
        return replace(
            self,
            name=f"{self.name} times {factor:g}",
            one_qubit=self.one_qubit * factor,
            two_qubit=self.two_qubit * factor,
            readout=((1 - up, up), (down, 1 - down)),
        )

    def identity(self) -> str:
        """Return all numbers that results depend on. Models with equal numbers are equal, whatever their names."""
        return f"one_qubit {self.one_qubit!r} two_qubit {self.two_qubit!r} {self.channel} readout {self.readout!r}"

    def read_out(self) -> tuple[float, float]:
        """Return a = p(0|1) - p(1|0) and b = 1 - p(1|0) - p(0|1) of a + b z, which is reported for a true z."""
        up, down = self.readout[0][1], self.readout[1][0]
        return down - up, 1 - up - down


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
    from qweft.core import yaml_file  # here: a model by name needs no package for YAML

    path = named_path(name)
    if not path.is_file():
        raise DeviceError(f"there is no noise model {name}; name {PAPER.name}, or a YAML file")
    fields = yaml_file.load(yaml_file.read_text(path), str(path), is_file=True)
    try:
        return NoiseModel(path.stem, **{"source": f"from {path.name}", **fields})
    except TypeError as error:
        raise DeviceError(
            f"{path}: a noise model has the keys one_qubit, two_qubit and readout, and may have channel and source"
        ) from error
