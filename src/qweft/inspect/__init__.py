"""Measure a trained adapter layer by layer: ranks, non-linearity, circuit share, states, and gradients."""
