"""A trained adapter's circuits on a device: what is measured, what it costs, and the loss that results."""
