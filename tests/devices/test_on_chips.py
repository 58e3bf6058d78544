"""What a training would take on a chip, by hand."""

import json

import pytest

from qweft.circuit import crz_ring_ansatz
from qweft.cli.main import main
from qweft.devices.on_chips import on_chips
from qweft.devices.prices import Price, PriceList
from tests.tiny_folder import save_rows, save_tiny_model

PRICES = PriceList(
    [
        Price(("free",), job=0.0),
        Price(("unknown",)),
        Price(("timed",), "USD", second=1.6, seconds_a_job=2.0, seconds_a_shot=0.00035, date="2026-09"),
        Price(("counted", "also"), "USD", circuit=0.3, shot=0.001),
    ]
)


def test_two_layers_by_hand():
    """r = 4, L = 2: 8 uploads, 16 trained RY and 16 CRZ, so 1 + 2 * 24 + 4 * 16 = 113 circuits a token and layer."""
    found = on_chips([crz_ring_ansatz(4, 2)] * 2, tokens=100, passes=5, prices=PRICES)
    assert (found.circuits_a_token, found.evaluations) == (226, 22_600)
    assert (found.shots, found.jobs) == (10_000, 20)
    timed, counted = found.costs  # the cheapest first; what is free or has no price is left out
    assert (timed.device, timed.currency, timed.date) == ("timed", "USD", "2026-09")
    assert timed.seconds == pytest.approx(2 * 20 + 226_000_000 * 0.00035)
    assert timed.money == pytest.approx(1.6 * 79_140)
    assert (counted.device, counted.seconds) == ("counted", None)
    assert counted.money == pytest.approx(22_600 * (0.3 + 10_000 * 0.001))


def test_the_plan_tells_it_where_that_is_asked(tmp_path, capsys):
    places = ["--model.name", save_tiny_model(tmp_path / "model"), "--data.source", save_rows(tmp_path / "rows.jsonl")]
    sizes = ["--data.train_rows", "6", "--data.validation_rows", "2", "--data.test_rows", "2"]
    steps = ["--training.max_steps", "3", "--training.batch_size", "2", "--training.gradient_accumulation", "2"]
    adapter = ["--adapter", "{preset: qtha, r: 2, circuit_layers: 1, target_modules: [q_proj]}"]
    argv = ["plan", *places, *sizes, *steps, *adapter]
    capsys.readouterr()
    assert main([*argv, "--chips", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["chips"]
    layers = 2
    assert found["jobs"] == 2 * layers * 3 * 2
    assert found["circuits_a_token"] == layers * (1 + 2 * 6 + 4 * 4)
    assert found["evaluations"] % found["circuits_a_token"] == 0 and found["evaluations"] > 0
    assert {cost["device"] for cost in found["costs"]} >= {"qiskit:ibm_*", "braket:iqm-garnet"}
    assert main([*argv, "--chips"]) == 0
    assert "on a chip: 58 circuits a token" in " ".join(capsys.readouterr().out.split())
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chips"] is None
