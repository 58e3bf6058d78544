"""Caps on money and time: what would fit, and prices that depend on the shots."""

import re
import types

import pytest

from qweft.circuit import crz_ring_ansatz
from qweft.devices.jobs import Budget, Caps
from qweft.devices.jobs.prices import Price
from qweft.devices.providers.qiskit.ibm import IBMDevice
from qweft.errors import QweftError
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.cost import Costs, Rate
from qweft.evaluation.noise.grid import Grid, Setting, make_grid
from qweft.evaluation.noise.sample import Wanted

IBM = types.SimpleNamespace(name="qiskit:ibm_x", limits=IBMDevice.limits)
TIMED = Price(("qiskit:ibm_*",), "USD", second=1.6, seconds_a_job=2.0, seconds_a_shot=0.00035)
ROWS = [{"input_ids": list(range(n)), "labels": list(range(n))} for n in range(40, 104)]
PLAIN = Rate(1, 0)


def estimated(layers, most, rate, **caps):
    wanted = Wanted(ROWS, "all", [[20, 1, 1, 1]] * 4, 8, layers * rate.circuit, rate.once)
    grid = Grid({1.0: IBM}, (Setting(1000, 1.0), Setting(2000, 1.0)), "x", False)
    costs = Costs(grid, Budget(IBM.name, TIMED, Caps(None, **caps)), layers, rate)
    return costs.checked(wanted.draw(most, 0), lambda number: wanted.draw(number, 0))


@pytest.mark.parametrize(
    ("layers", "caps"),
    [(60, {"money": 900.0}), (8, {"money": 100.0}), (8, {"seconds": 200.0}), (2, {"money": 5000.0, "seconds": 90.0})],
)
@pytest.mark.parametrize("rate", [PLAIN, Rate(3, 2, (2,))])
def test_the_number_of_circuits_that_a_refusal_names_fits(layers, caps, rate):
    """A job has its price and its time with one circuit too, so the number does not follow in proportion."""
    caps = {name: cap * rate.circuit for name, cap in caps.items()}
    with pytest.raises(QweftError, match=r"nothing was sent; --max-circuits \d+ would fit$") as caught:
        estimated(layers, None, rate, **caps)
    most = int(re.search(r"--max-circuits (\d+)", str(caught.value))[1])
    found = estimated(layers, most, rate, **caps)
    assert found.money <= caps.get("money", found.money) and found.seconds <= caps.get("seconds", found.seconds)
    with pytest.raises(QweftError):
        estimated(layers, most + layers * rate.circuit, rate, **caps)


def test_a_cap_below_what_one_token_takes_says_so():
    """60 layers are 60 jobs of one circuit at each setting, of 2.35 s and 2.7 s."""
    with pytest.raises(QweftError, match=r"One token alone takes up to 484.8; raise --max-cost"):
        estimated(60, None, PLAIN, money=100.0)


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
