"""What is measured where not everything fits, and caps on what it takes."""

import types

import numpy as np
import pytest
import torch

from qweft.circuit import crz_ring_ansatz
from qweft.core.errors import QweftError
from qweft.devices import Limits
from qweft.devices.jobs import CircuitBudget
from qweft.devices.mitigation import make_mitigation
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.plan import Grid, Setting, Wanted, estimated, make_grid
from qweft.evaluation.on_device import check_qubits


def rows_of(*lengths):
    draws = np.random.default_rng(0)
    return [{"input_ids": (ids := draws.integers(1, 50, n).tolist()), "labels": ids} for n in lengths]


def draw(rows, a_token=1, cap=None, seed=0, once=0, batch=4):
    return Wanted(rows, "all", batch, a_token, once).draw(cap, seed)


def test_without_a_cap_everything_is_measured():
    sample = draw(rows_of(5, 7, 9), a_token=4)
    assert sample.rows == (0, 1, 2) and sample.circuits == 4 * (5 + 7 + 9)
    assert sample == draw(rows_of(5, 7, 9), 4, sample.circuits, seed=1)


@pytest.mark.parametrize("cap", [120, 150, 200, 300, 400])
@pytest.mark.parametrize("seed", range(2))
def test_as_many_rows_as_fit_and_never_more(cap, seed):
    sample = draw(rows_of(*[10] * 20), 2, cap, seed)
    assert len(sample.rows) == min(20, cap // 20)
    assert sample.circuits == 20 * len(sample.rows) <= cap


def test_a_cap_below_one_row_is_refused():
    with pytest.raises(QweftError, match=r"--max-circuits 31 .* one row takes \(32\).*--layers"):
        draw(rows_of(10), 3, 31, once=2)
    assert draw(rows_of(10), 3, 32, once=2).circuits == 32


def test_batches_hold_the_longest_rows_first():
    assert draw(rows_of(6, 10, 8), batch=2).batches == (18, 6)


def test_only_tokens_that_predict_targets_are_chosen_in_any_batch_and_order():
    rows = [
        {"input_ids": [1, 2, 3, 4, 5], "labels": [-100, -100, 3, -100, 5]},
        {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]},
    ]  # the second is the beginning of the first
    wanted = Wanted(rows, "targets", 2, 3, 0)
    sample = wanted.draw(None, 0)
    assert sample.batches == (4,) and sample.circuits == 3 * 4
    batch = torch.tensor([[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]])
    assert wanted.choose(0)(batch).nonzero().tolist() == [[0, 0], [0, 1], [1, 1], [1, 3]]


@pytest.mark.parametrize("zne", [None, (1, 3, 5)])
def test_an_estimate_counts_circuits_and_jobs_of_all_settings(zne):
    """By hand: two rows of 300 tokens, a batch each, in 8 layers with one circuit; 250 circuits fit in a job."""
    mitigation = make_mitigation("inverse" if zne else None, zne)
    folds = mitigation.folds
    device = types.SimpleNamespace(name="qiskit:ibm_x", limits=Limits(circuits=250))
    settings = Setting(1000, 1.0), Setting(2000, 1.0)
    grid = Grid({1.0: device}, settings, "x", False, CircuitBudget(), mitigation)
    calibrations = 2 * folds if zne else 0
    sample = draw(rows_of(300, 300), a_token=8 * folds, once=calibrations, batch=1)
    estimate = estimated(sample, grid, layers=8, forms=1)
    assert estimate.circuits == 2 * (8 * folds * 600 + calibrations)
    calibration_jobs = folds if zne else 0
    assert estimate.jobs == 2 * (8 * folds * (2 + 2) + calibration_jobs)
    assert estimate.shots == (1000, 2000)


@pytest.mark.parametrize(("device", "shots"), [("noisy", [100, None]), ("pennylane:reference.qubit", [100])])
def test_exact_probabilities_are_added_where_they_cost_nothing(device, shots):
    pytest.importorskip("pennylane")
    grid = make_grid(NoiseConfig(device=device, shots=[100]))
    assert [setting.shots for setting in grid.settings] == shots


def test_too_few_qubits_are_told_by_layer():
    grid = make_grid(NoiseConfig(device="noisy"))
    check_qubits(grid.devices[1.0], {"a": crz_ring_ansatz(10, 1)})
    with pytest.raises(QweftError, match="circuit of b"):
        check_qubits(grid.devices[1.0], {"b": crz_ring_ansatz(11, 1)})
