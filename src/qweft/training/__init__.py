"""Planning, training and saving one run."""
