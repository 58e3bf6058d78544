"""The runs of a comparison: what they share, one run, and several processes or machines."""
