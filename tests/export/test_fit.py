"""The fit against least squares made by other means."""

import numpy as np
import pytest
import torch

from qweft.exporting.fit import Moments, fit_features

INPUTS, FEATURES, RANK = 12, 3, 2


def halves_of(x, f):
    """The moments of even and odd tokens."""
    parts = slice(0, None, 2), slice(1, None, 2)
    return [Moments.of(x[part], f[part]) for part in parts]


def draw(tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, INPUTS, generator=generator, dtype=torch.float64)
    compress = torch.randn(RANK, INPUTS, generator=generator, dtype=torch.float64)
    return x, compress, generator


def test_with_many_tokens_it_is_the_least_squares_fit_of_numpy():
    x, compress, _ = draw(20000)
    c = x @ compress.T
    f = torch.stack([torch.cos(c[:, 0]) + x[:, 2], torch.sin(c[:, 1]) + 0.2 * x[:, 5], torch.tanh(c[:, 0])], -1)
    expected, *_ = np.linalg.lstsq(x.numpy(), f.numpy(), rcond=None)
    matrix, _ = fit_features(halves_of(x, f), compress, torch.eye(FEATURES))
    # the two differ by the ridge alone, which shrinks what a half of the tokens cannot tell from chance
    np.testing.assert_allclose(matrix.numpy(), expected.T, atol=0.03)
    assert not np.allclose(expected, 0, atol=0.1)


def test_noise_is_not_fitted():
    x, compress, generator = draw(60)
    f = torch.randn(len(x), FEATURES, generator=generator, dtype=torch.float64)
    matrix, explained = fit_features(halves_of(x, f), compress, torch.eye(FEATURES))
    assert matrix.norm() < 0.7 * torch.linalg.lstsq(x, f).solution.norm()
    assert explained < 0.1


def test_a_noisy_feature_does_not_blur_the_others():
    """One feature is linear, the others are noise: it has a small ridge of its own, and what counts is weighted."""
    x, compress, generator = draw(40)
    f = 9 * torch.randn(len(x), FEATURES, generator=generator, dtype=torch.float64)
    f[:, 1] = x[:, 4] * 3
    only = torch.zeros(FEATURES, FEATURES, dtype=torch.float64)
    only[1, 1] = 1
    matrix, explained = fit_features(halves_of(x, f), compress, only)
    assert matrix[1, 4].item() == pytest.approx(3, rel=1e-3) and explained > 0.999
    assert fit_features(halves_of(x, f), compress, torch.eye(FEATURES) - only)[1] < 0.3
