"""Options for measuring a trained adapter's circuits on a device."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from qweft.core.schema import Count, Rate


@dataclass(frozen=True)
class NoiseConfig:
    """The measurement of an adapter's circuits on a device, at one or more numbers of shots and noise scales.

    Args:
        device: "exact" for exact simulation, "shots", "noisy", or "FAMILY:NAME" from `qweft devices`.
        shots: Shots of each circuit; several numbers are measured in turn. Without it probabilities are exact, which
            only simulators provide.
        noise: Noise model: "paper" or the path of a YAML file; by default the device's own.
        noise_scale: Factor for all error probabilities of the noise model, 1 unless given; several are measured in
            turn.
        readout: Mitigation of readout errors: "inverse" inverts them qubit by qubit.
        zne: Zero-noise extrapolation from circuits folded to these multiples of their length (1,3,5).
        extrapolation: Function fitted to the values at these lengths; richardson unless given.
        layers: Measure only circuits of these layers: names, ends of names (q_proj), or either with *.
        tokens: Tokens to measure: all, or only those that predict a target. Other tokens are computed exactly. All
            unless given.
        max_circuits: Most circuits at each number of shots and noise scale. To stay within it, fewer rows are
            evaluated.
        any_calibration: Reuse results from other calibrations of the chip, so that a run can continue on another day.
        timeout: Stop after this many seconds in which no job finishes, 3600 unless given. Jobs keep running, and the
            same command continues with them.
        seed: Seed of simulated shots and of the choice of rows; 0 unless given.
        output: Folder for the numbers; by default robustness-DEVICE in the parent of the adapter's folder.
    """

    device: str = "exact"
    shots: list[Count] | None = None
    noise: str | None = None
    noise_scale: list[Annotated[float, Ge(0)]] = field(default_factory=lambda: [1.0])
    readout: Literal["inverse"] | None = None
    zne: list[int] | None = None
    extrapolation: Literal["richardson", "linear", "quadratic"] = "richardson"
    layers: list[str] | None = None
    tokens: Literal["all", "targets"] = "all"
    max_circuits: Count | None = None
    any_calibration: bool = False
    timeout: Rate = 3600.0
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    output: str | None = None

    @property
    def mitigation(self) -> str:
        """Description of the error mitigation; empty without any."""
        parts = [f"readout errors undone ({self.readout})"] if self.readout else []
        if self.zne:
            factors = ", ".join(f"x {factor}" for factor in self.zne)
            parts.append(f"extrapolated to no noise ({self.extrapolation}; circuits folded {factors})")
        return ", ".join(parts)
