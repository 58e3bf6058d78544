"""Chat with a trained adapter in a terminal or on a local page, side by side with another model if desired."""
