"""Noise models, and the circuit under them."""

from qweft.devices.noise.model import NoiseModel
from qweft.devices.noise.named import noise_model

__all__ = ["NoiseModel", "noise_model"]
