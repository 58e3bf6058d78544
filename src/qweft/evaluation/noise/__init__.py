"""Evaluation of a trained adapter with its circuits measured on a device, over a grid of shots and noise."""
