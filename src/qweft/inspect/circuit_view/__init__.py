"""Shows a trained circuit: drawing, gate counts, compilation, angles, and its values for each token of a text."""
