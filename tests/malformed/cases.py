"""How many malformed inputs are tried, which, and what may come of one.

`make soak` tries at least 10,000 in all; here it is a few hundred (QWEFT_MALFORMED). Every case follows from its kind
and its number alone, so a failure says what to run again.
"""

import math
import os
import random
from dataclasses import fields, is_dataclass

import pytest

from qweft.errors import QweftError

IN_ALL = int(os.environ.get("QWEFT_MALFORMED", "400"))
SHARES = {
    "adapter configs": 0.07,
    "adapter files": 0.05,
    "records": 0.1,
}
"""Of all cases, by kind."""
LONGEST = 2000
"""Characters of a sentence; one that is longer has swallowed the input."""


def share(kind):
    """How many cases of a kind are tried."""
    return math.ceil(IN_ALL * SHARES[kind])


def cases(kind):
    """(number, random numbers) of every case of a kind."""
    for number in range(share(kind)):
        yield number, random.Random(f"{kind} {number}")


def outcome(what, call, *args, **kwargs):
    """What a call returns, or none after one clear sentence; everything else is a fault, told with the input."""
    try:
        return call(*args, **kwargs)
    except QweftError as error:
        check_sentence(str(error), what)
        return None
    except Exception as error:
        pytest.fail(f"{what}\ngave {type(error).__name__}: {str(error)[:500]}")


def check_sentence(sentence, what):
    """See that it is one sentence that somebody can read."""
    assert sentence.strip(), what
    assert "Traceback" not in sentence, (what, sentence)
    assert len(sentence) <= LONGEST, (what, sentence)


def check_typed(config, name=""):
    """See that a config holds what its fields say, and no number that is none."""
    if is_dataclass(config):
        for field in fields(config):
            value = getattr(config, field.name)
            kind = str(field.type)
            if isinstance(value, bool):
                assert "bool" in kind or "Any" in kind, f"{name}.{field.name} is {value}, not {kind}"
            check_typed(value, f"{name}.{field.name}")
    elif isinstance(config, dict):
        for key, value in config.items():
            check_typed(value, f"{name}.{key}")
    elif isinstance(config, list):
        for value in config:
            check_typed(value, name)
    elif isinstance(config, float):
        assert not math.isnan(config), f"{name} is {config}"
