import pytest
import torch

from qweft.inspect.layers import non_affinity


def tokens(count=4000, r=3, seed=0):
    return torch.randn(count, r, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_an_affine_map_has_none():
    c = tokens()
    assert non_affinity(c, c @ tokens(3, 5, 1) + 7) == pytest.approx(0, abs=1e-20)


def test_tokens_in_fewer_dimensions_than_c_has():
    c = tokens(r=1) @ tokens(1, 3, 1)
    assert non_affinity(c, c.square()) > 0.5
    assert non_affinity(c, 2 * c - 1) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("weight", [0.1, 1.0, 3.0])
def test_a_share_that_is_known(weight):
    """h = c + w (c^2 - 1) / sqrt 2 of a standard normal c: two uncorrelated parts of variance 1 and w^2."""
    c = tokens(200_000, 1)
    h = c + weight * (c.square() - 1) / 2**0.5
    assert non_affinity(c, h) == pytest.approx(weight**2 / (1 + weight**2), abs=0.01)


def test_it_is_judged_on_tokens_that_were_not_fitted():
    """Noise is never explained, however many numbers there are to fit it with."""
    c = tokens(44, 10)
    assert non_affinity(c, tokens(44, 4, 1)) > 0.9


def test_too_few_tokens_say_nothing():
    assert non_affinity(tokens(15), tokens(15)) is None
    assert non_affinity(tokens(16), tokens(16)) is not None
