"""Circuits replaced by classical fits: the fits themselves, and what stays of an adapter's gain."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from qweft.circuit import crz_ring_ansatz, gate_by_gate
from qweft.evaluation.on_device import circuit_layers
from qweft.inspect.dequantise import KINDS, dequantise, in_place, terms
from qweft.inspect.describe import replacements
from qweft.inspect.layers import fitted
from tests.analysis.examples import adapted

PAD = 0


def circuit_and_values(n, layers, tokens, reupload=True, size=1.0):
    generator = torch.Generator().manual_seed(7)
    circuit = crz_ring_ansatz(n, layers, reupload)
    angles = torch.rand(circuit.parameters, generator=generator, dtype=torch.float64) * 6 - 3
    c = size * torch.randn(tokens, n, generator=generator, dtype=torch.float64)
    return circuit, angles, c, gate_by_gate(circuit, c, angles)


def rows_for(model, lengths, seed=8):
    """Rows whose targets are the adapted model's own best tokens, so that it has a gain over its base model."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for length in lengths:
        ids = torch.randint(1, 64, (length,), generator=generator)
        with torch.no_grad():
            best = model.eval()(input_ids=ids[None]).logits[0].argmax(-1)
        found.append({"input_ids": ids.tolist(), "labels": [-100, *best[:-1].tolist()]})
    return found


def losses(model, rows):
    """Sum of -log p of each row, one row at a time."""
    found = []
    with torch.no_grad():
        for row in rows:
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
            found.append(float(cross_entropy(logits[:-1], torch.tensor(row["labels"][1:]), reduction="sum")))
    return np.array(found)


@pytest.mark.parametrize(("n", "layers", "reupload"), [(1, 3, True), (2, 2, True), (3, 1, True), (3, 3, False)])
def test_the_fourier_fit_has_the_circuits_own_coefficients(n, layers, reupload):
    """Against those from a grid of 2 U + 1 points for each input, which decide them all."""
    circuit, angles, c, q = circuit_and_values(n, layers, 900, reupload)
    coefficients, missed = fitted(terms("fourier", circuit, c), q, 700)
    points = 2 * (layers if reupload else 1) + 1
    grid = 2 * math.pi * np.arange(points) / points
    there = torch.tensor(np.array(list(itertools.product(grid, repeat=n))))
    exact = torch.linalg.solve(terms("fourier", circuit, there), gate_by_gate(circuit, there, angles))
    torch.testing.assert_close(coefficients, exact, rtol=0, atol=1e-8)
    torch.testing.assert_close(in_place("fourier", coefficients)(circuit, c[700:], angles), q[700:], rtol=0, atol=1e-8)
    assert missed < 1e-15


def test_a_planted_quadratic_is_found_and_an_affine_map_misses_its_squares():
    circuit, _, c, _ = circuit_and_values(3, 2, 4000)
    planted = 0.3 - 0.2 * c + 0.1 * c * c.roll(1, 1)  # of variance 0.04 and 0.01, uncorrelated
    missed = {kind: fitted(terms(kind, circuit, c), planted, 2000)[1] for kind in ("constant", "affine", "quadratic")}
    assert missed["constant"] == pytest.approx(1, abs=0.01) and missed["affine"] == pytest.approx(0.2, abs=0.03)
    assert missed["quadratic"] < 1e-20


CORES = ["quantum_linear", "quantum_weighted", "quantum_gated", "frozen_linear", "product"]


@pytest.mark.parametrize("core", CORES)
def test_the_full_series_keeps_the_whole_gain(core):
    model = adapted("qtha", core=core)
    found = dequantise(model, rows_for(model, [10] * 120), PAD)
    assert (found.circuits, found.rows_fitted, found.rows_judged, found.tokens) == (4, 60, 60, 600)
    assert list(found.fits) == list(KINDS) and not found.left_out
    assert found.gain == pytest.approx(found.base - found.adapter, rel=1e-9) and found.gain > 0
    fourier = found.fits["fourier"]
    assert fourier.terms == 125
    assert fourier.loss == pytest.approx(found.adapter, abs=1e-6)
    assert fourier.kept == pytest.approx(1, abs=1e-5) and fourier.unexplained < 1e-10
    assert found.fits["constant"].unexplained > found.fits["fourier"].unexplained


def test_a_constant_by_hand():
    """Each circuit replaced by its mean over the rows that are fitted; shares are ratios of sums over the others."""
    model = adapted("qtha")
    rows = rows_for(model, [5, 9, 12, 7, 11, 6])
    fit, judge = rows[:3], rows[3:]
    found = dequantise(model, rows, PAD)
    assert found.tokens == 5 + 9 + 12  # no padding
    assert found.left_out == {"fourier": "it has 125 terms, and at most 26 are fitted to so many tokens"}
    means = {}
    for name, core in circuit_layers(model).items():
        seen = []
        core.observed_by = lambda q, seen=seen: seen.append(q.reshape(-1, 3))
        losses(model, fit)
        means[name], core.observed_by = torch.cat(seen).mean(0), None
    with model.disable_adapter():
        base = losses(model, judge)
    whole = losses(model, judge)
    for name, core in circuit_layers(model).items():
        core.measured_by = lambda circuit, c, angles, mean=means[name]: mean.expand(*c.shape[:-1], 3)
    replaced = losses(model, judge)
    targets = 6 + 10 + 5
    constant = found.fits["constant"]
    assert constant.loss == pytest.approx(replaced.sum() / targets, rel=1e-5)
    assert found.gain == pytest.approx((base - whole).sum() / targets, rel=1e-4)
    kept = (base - replaced).sum() / (base - whole).sum()
    assert constant.kept == pytest.approx(kept, rel=1e-3)
    left = (base - replaced).sum() - (base - replaced), (base - whole).sum() - (base - whole)
    jackknife = math.sqrt(2 / 3 * float(((left[0] / left[1] - kept) ** 2).sum()))
    assert constant.kept_error == pytest.approx(jackknife, rel=1e-2)


def test_the_model_is_left_as_it_was():
    model = adapted("qtha")
    rows = rows_for(model, [8] * 6)
    model.train()
    own = lambda circuit, c, angles: c  # noqa: E731
    first = next(iter(circuit_layers(model).values()))
    first.measured_by = own
    dequantise(model, rows, PAD)
    assert model.training and first.measured_by is own
    assert all(core.measured_by is None for core in list(circuit_layers(model).values())[1:])


def test_of_a_gain_within_twice_its_error_no_share_is_told():
    model = adapted("qtha")
    with model.disable_adapter():
        base = rows_for(model, [8] * 8)
    own = rows_for(model, [8] * 8)
    # four rows are judged: two with the adapter's tokens, two with the base model's
    found = dequantise(model, [*own[:4], *own[4:7], base[7]], PAD)
    assert 0 < found.gain < 2 * found.gain_error
    assert all(fit.kept is None and fit.kept_error is None for fit in found.fits.values())
    *_, line, left = replacements(found)
    assert "nats a token, not above twice its standard error: no share of it is told" in line and "left out" in left
