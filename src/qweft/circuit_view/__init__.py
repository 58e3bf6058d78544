"""A trained circuit looked at: drawn, counted, compiled, its angles, and what it makes of each token of a text."""
