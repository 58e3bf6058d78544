"""How a trained adapter's circuits are to be measured on a device."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class RobustnessConfig:
    """The measuring of an adapter's circuits on a device, at several numbers of shots and strengths of noise.

    Args:
        device: "exact" computes as ever; "shots", "noisy", or "FAMILY:NAME" as `qweft devices` lists them.
        shots: Measurements of each circuit; several numbers are tried one after the other. None asks for exact
            probabilities, which only simulators have.
        noise: Noise model: "paper", or path of a YAML file; none means the device's own.
        noise_scale: Every probability of error of the noise model times this, 1 unless given; several are tried one
            after the other.
        readout: Readout errors are undone by "inverse" (qubit by qubit), or by the package mthree ("m3").
        zne: Zero-noise extrapolation from circuits that are folded to so many times their length (1,3,5).
        extrapolation: What is laid through the values at these lengths; richardson unless given.
        layers: Only circuits of these layers are measured: names, ends of names (q_proj), or either with *.
        tokens: Which tokens are measured: all, or only those that predict a target (of a prompt that is answered, the
            last one); the others are computed exactly. All unless given.
        max_circuits: At most so many circuits at each number of shots and strength of noise; fewer rows are judged, or
            single tokens of a few rows measured, so that they suffice.
        max_cost: The whole of it may cost so much, in the currency of the device's price list.
        max_seconds: The whole of it may take the device so many seconds, as estimated.
        prices: A price list beside the built-in one (YAML).
        any_calibration: Results that were measured under another calibration of the chip serve too, so that a run goes
            on the next day with what it has.
        timeout: A run ends after so many seconds without any job finishing, 3600 unless given; its jobs live on, and
            the same command goes on with them.
        seed: Of simulated shots, and of the choice of rows or tokens; 0 unless given.
        output: Folder for numbers and plots; by default robustness-DEVICE beside the adapter.
    """

    device: str = "exact"
    shots: list[int] | None = None
    noise: str | None = None
    noise_scale: list[float] = field(default_factory=lambda: [1.0])
    readout: Literal["inverse", "m3"] | None = None
    zne: list[int] | None = None
    extrapolation: Literal["richardson", "linear", "quadratic", "exponential"] = "richardson"
    layers: list[str] | None = None
    tokens: Literal["all", "targets"] = "all"
    max_circuits: int | None = None
    max_cost: float | None = None
    max_seconds: float | None = None
    prices: str | None = None
    any_calibration: bool = False
    timeout: float = 3600.0
    seed: int = 0
    output: str | None = None

    @property
    def mitigation(self) -> str:
        """What is done about errors, in words; empty for nothing."""
        said = [f"readout errors undone ({self.readout})"] if self.readout else []
        if self.zne:
            factors = ", ".join(f"x {factor}" for factor in self.zne)
            said.append(f"extrapolated to no noise ({self.extrapolation}; circuits folded {factors})")
        return ", ".join(said)

    @property
    def needs_counts(self) -> bool:
        """Whether what is done about errors cannot do with exact probabilities."""
        return self.readout == "m3"

    @property
    def price_file(self) -> Path | None:
        """The price list's path."""
        return None if self.prices is None else Path(self.prices).expanduser()
