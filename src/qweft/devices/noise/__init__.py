"""Noise models, and the circuit under them."""

from qweft.devices.noise.model import NoiseModel, noise_model

__all__ = ["NoiseModel", "noise_model"]
