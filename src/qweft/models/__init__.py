"""Base models: loading from the hub, a local folder, or a Python package."""
