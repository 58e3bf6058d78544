"""Chat with a trained adapter in a terminal, side by side with another model if desired."""
