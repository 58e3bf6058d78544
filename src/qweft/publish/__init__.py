"""Adapters shared: a model card that says what was trained and what came out, and the way to the hub."""
