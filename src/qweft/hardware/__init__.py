"""A trained adapter on a device: what is measured, what it costs, and what becomes of loss and answers."""
