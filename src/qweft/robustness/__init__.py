"""Measures a trained adapter's circuits on a device: sample, cost, and resulting loss."""
