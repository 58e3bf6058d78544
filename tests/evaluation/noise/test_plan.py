"""What is measured where not everything fits, and caps on what it takes."""

import types

import numpy as np
import pytest
import torch

from qweft.circuit import crz_ring_ansatz
from qweft.core.errors import QweftError
from qweft.devices.jobs import Budget, Caps, Price
from qweft.devices.mitigation import make_mitigation
from qweft.devices.providers.qiskit.ibm import IBMDevice
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.plan import Grid, Setting, Wanted, estimated, make_grid
from qweft.evaluation.on_device import check_qubits

IBM = types.SimpleNamespace(name="qiskit:ibm_x", limits=IBMDevice.limits)
TIMED = Price(["qiskit:ibm_*"], "USD", second=1.6, seconds_a_job=2.0, seconds_a_shot=0.00035)


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
def test_a_cap_is_refused_exactly_where_the_estimate_exceeds_it(zne):
    mitigation = make_mitigation("inverse" if zne else None, zne)

    def whole(**caps):
        settings = Setting(1000, 1.0), Setting(2000, 1.0)
        grid = Grid({1.0: IBM}, settings, "x", False, Budget(IBM.name, TIMED, Caps(None, **caps)), mitigation)
        rows = rows_of(*range(40, 104))
        sample = Wanted(rows, "all", 8, 8 * mitigation.folds, 6 if zne else 0).draw(4000, 0)
        return estimated(sample, grid, 8, 1)

    free = whole()
    for name in ("money", "seconds"):
        total = getattr(free.charge, name)
        assert whole(**{name: total}) == free
        with pytest.raises(QweftError, match="nothing was sent"):
            whole(**{name: 0.999 * total})


def test_without_shots_a_price_a_shot_is_refused_and_exact_probabilities_are_not_added(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("devices: [{match: noisy, currency: USD, shot: 0.01}]")
    with pytest.raises(QweftError, match="--shots"):
        make_grid(NoiseConfig(device="noisy", prices=str(prices)))
    for prices_file, shots in ((str(prices), [100]), (None, [100, None])):
        grid = make_grid(NoiseConfig(device="noisy", shots=[100], prices=prices_file))
        assert [setting.shots for setting in grid.settings] == shots


def test_too_few_qubits_are_told_by_layer():
    for device, shots in (("noisy", None), ("rehearsal:noisy", [9])):
        grid = make_grid(NoiseConfig(device=device, shots=shots))
        check_qubits(grid.devices[1.0], {"a": crz_ring_ansatz(10, 1)})
        with pytest.raises(QweftError, match="circuit of b"):
            check_qubits(grid.devices[1.0], {"b": crz_ring_ansatz(11, 1)})
