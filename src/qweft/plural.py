"""Numbers of things in a sentence."""


def many(count: int, thing: str) -> str:
    """So many things, of a word whose plural ends in s.

    >>> many(1, "circuit"), many(2500, "trained angle")
    ('1 circuit', '2,500 trained angles')
    """
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
