"""Caps on money and time: what would fit, and prices that depend on the shots."""

import types

import pytest

from qweft.circuit import crz_ring_ansatz
from qweft.devices.jobs import Budget, Caps
from qweft.devices.jobs.prices import Price
from qweft.devices.providers.qiskit.ibm import IBMDevice
from qweft.errors import QweftError
from qweft.evaluation.noise import cost
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.cost import Rate
from qweft.evaluation.noise.grid import Grid, Setting, make_grid
from qweft.evaluation.noise.sample import Wanted

IBM = types.SimpleNamespace(name="qiskit:ibm_x", limits=IBMDevice.limits)
TIMED = Price(("qiskit:ibm_*",), "USD", second=1.6, seconds_a_job=2.0, seconds_a_shot=0.00035)
ROWS = [{"input_ids": list(range(n)), "labels": list(range(n))} for n in range(40, 104)]


def estimated(layers, most, rate, **caps):
    wanted = Wanted(ROWS, "all", [[20, 1, 1, 1]] * 4, 8, layers * rate.circuit, rate.once)
    grid = Grid({1.0: IBM}, (Setting(1000, 1.0), Setting(2000, 1.0)), "x", False)
    return cost.estimated(wanted.draw(most, 0), grid, Budget(IBM.name, TIMED, Caps(None, **caps)), layers, rate)


@pytest.mark.parametrize("rate", [Rate(1, 0), Rate(3, 2, (2,))])
def test_a_cap_is_refused_exactly_where_the_estimate_exceeds_it(rate):
    free = estimated(8, 2000, rate)
    for name, total in (("money", free.charge.money), ("seconds", free.charge.seconds)):
        assert estimated(8, 2000, rate, **{name: total}) == free
        with pytest.raises(QweftError, match="nothing was sent"):
            estimated(8, 2000, rate, **{name: 0.999 * total})


def test_without_shots_a_price_a_shot_is_refused_and_exact_probabilities_are_not_added(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("devices: [{match: noisy, currency: USD, shot: 0.01}]")
    with pytest.raises(QweftError, match="device noisy has a price or a time for each shot; give --shots"):
        make_grid(NoiseConfig(device="noisy", prices=str(prices)))
    for prices_file, shots in ((str(prices), [100]), (None, [100, None])):
        grid = make_grid(NoiseConfig(device="noisy", shots=[100], prices=prices_file))
        assert [setting.shots for setting in grid.settings] == shots


def test_too_few_qubits_are_told_by_layer():
    for device, shots in (("noisy", None), ("rehearsal:noisy", [9])):
        grid = make_grid(NoiseConfig(device=device, shots=shots))
        grid.check_qubits({"a": crz_ring_ansatz(10, 1)})
        with pytest.raises(QweftError, match="has 10 qubits, and the circuit of b needs 11"):
            grid.check_qubits({"b": crz_ring_ansatz(11, 1)})
