"""Noise models and simulation with them."""

from qweft.devices.noise.model import NoiseModel, noise_model

__all__ = ["NoiseModel", "noise_model"]
