"""Numbers with what they count, for sentences."""


def many(count: int, what: str) -> str:
    """A count with its noun.

    >>> many(1, "layer"), many(1200, "circuit")
    ('1 layer', '1,200 circuits')
    """
    return f"{count:,} {what}" + ("" if count == 1 else "s")
