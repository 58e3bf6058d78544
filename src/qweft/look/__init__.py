"""A trained adapter's circuits, looked at and taken elsewhere from its folder alone; with a text, what tokens give."""
