import pytest

from qweft.text import near


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("qhta", {}, ["qtha"]),
        ("qtha", {}, ["qtha"]),
        ("zzz", {}, []),
        ("qwt", {"most": 3, "cutoff": 0.4}, ["qwthn", "qtha"]),
        ("qwt", {"cutoff": 0.4}, ["qwthn"]),
        ("qhta", {"cutoff": 0.9}, []),
    ],
)
def test_near_names_the_nearest_first(name, options, found):
    assert near(name, iter(["qwthn", "qtha", "sparse"]), **options) == found
