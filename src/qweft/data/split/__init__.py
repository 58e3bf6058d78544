"""Split of conversations into training, validation and test rows, by group. `split.py` tells the order of the draws."""
