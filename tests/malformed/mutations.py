"""Valid inputs made invalid at random: values, texts and bytes."""

import copy
import json

ODD = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, -(10**18), 10**400, 0.5, -2.5, 1e308, float("inf"), float("-inf"),
    float("nan"), "", " ", "\n", "0", "-1", "nan", "null", "true", "[]", "{}", "a", "\x00", "a\x00b", "\ud800",
    "\U0001f600", "\u202e", "ä" * 300, "x" * 5000, "%s %d {}", "../../etc", "[bold]", [], {}, [[]], [None], [0],
    [float("nan")], {"": None}, {"a": {"b": ["c"]}}, ["user", "x"], {"role": "user"}, {"0": 1},
)  # fmt: skip
"""What no field expects, or hardly one."""
BYTES = (b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\n", b'"', b"{", b"]", b",", b"\\")
HOSTILE = (
    b"[" * 100_000,
    b"- " * 50_000,
    b'{"a": 1, "a": 2}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b"a: &a [*a]\n",
    b'{"a": "\\ud800"}',
    "\x1b[2J\x1b]0;title\x07\x9b31m\u202e".encode(),
    b"a" * 200_000,
)
"""Whole files that are deep, endless, or hold a key twice or what controls a terminal."""


def places(value, path=()):
    """Every place inside a value, the whole of it included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*path, key))


def mutated(value, draw):
    """A copy with one to three changes: a value replaced, dropped, doubled, wrapped, or a key renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = _changed(value, draw)
    return value


def _changed(value, draw):
    *path, last = draw.choice(list(places(value))[1:] or [("",)])
    parent = value
    for key in path:
        parent = parent[key]
    if not isinstance(parent, dict | list) or (not isinstance(last, int) and last not in parent):
        return copy.deepcopy(draw.choice(ODD))
    how = draw.randrange(7)
    if how <= 2:
        parent[last] = copy.deepcopy(draw.choice(ODD))
    elif how == 3:
        del parent[last]
    elif how == 4:
        parent[last] = draw.choice(([parent[last]], {"value": parent[last]}, [parent[last]] * 3, str(parent[last])))
    elif how == 5 and isinstance(parent, dict):
        renamed = misspelt(str(last), draw)
        parent[renamed] = parent.pop(last)
    elif isinstance(parent[last], int | float) and not isinstance(parent[last], bool):
        parent[last] = draw.choice((-parent[last], parent[last] * 1000, -parent[last] - 1, [parent[last]]))
    else:
        parent[last] = copy.deepcopy(draw.choice(ODD))
    return value


def misspelt(word, draw):
    """A word with a letter dropped, doubled, exchanged or added."""
    place = draw.randrange(len(word) + 1)
    return draw.choice(
        (word[:place] + word[place + 1 :], word[:place] + word[place - 1 : place] + word[place:], word.upper(),
         word[:place] + draw.choice("xä\x00 .-_") + word[place:], word[::-1], "")
    )  # fmt: skip


def mutated_bytes(data, draw):
    """Bytes cut, flipped, doubled, exchanged, or with others put in; at times all of them others."""
    if draw.random() < 0.02:
        return draw.choice(HOSTILE)
    for _ in range(draw.choice((1, 1, 2, 3))):
        place = draw.randrange(len(data) + 1)
        end = min(len(data), place + draw.choice((1, 1, 2, 8, 100)))
        how = draw.randrange(6)
        if how == 0:
            data = data[:place]
        elif how == 1:
            data = data[:place] + data[end:]
        elif how == 2 and place < len(data):
            data = data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        elif how == 3:
            data = data[:place] + data[place:end] * 2 + data[end:]
        elif how == 4:
            data = data[:place] + draw.choice(BYTES) + data[place:]
        else:
            data = data[:place] + draw.randbytes(end - place) + data[end:]
    return data


def malformed_json(value, draw):
    """The bytes of a JSON file that holds another value, or no JSON."""
    if draw.random() < 0.35:
        return mutated_bytes(json.dumps(value).encode(), draw)
    return json.dumps(mutated(value, draw)).encode()
