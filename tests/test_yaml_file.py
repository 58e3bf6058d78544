"""Merge keys of YAML: a value stands in place of a merged one, and none is lost without a word."""

import pytest

from qweft.core.errors import QweftError
from qweft.core.yaml_file import load


def test_own_keys_stand_in_place_of_merged_ones():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, z: 1}\nd: {<<: [*b, {q: 1}], q: 7}"
    text += "\ne: {<<: *b}\nf: *b"
    value = load(text, "x")
    assert value["b"] == value["e"] == value["f"] == {"x": 3, "y": 2}
    assert value["c"] == {"x": 3, "y": 2, "z": 1} and value["d"] == {"x": 3, "y": 2, "q": 7}
    assert load("{<<: [{x: 1}, {x: 2}], x: 3}", "x") == {"x": 3}
    assert load("{=: 1}", "x") == {"=": 1} and load("{1: a, '1': b}", "x") == {1: "a", "1": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "{shot: 1, shot: 0}",
        "{<<: {shot: 1, shot: 0}}",
        "{<<: {<<: {shot: 1, shot: 0}}}",
        "{<<: {shot: 1}, <<: {shot: 0}}",
        "!!set {a, a}",
    ],
)
def test_a_key_that_is_given_twice_is_refused(text):
    with pytest.raises(QweftError, match="duplicate key"):
        load(text, "x")
