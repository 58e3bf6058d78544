"""A circuit as text for a terminal, and as a picture."""
