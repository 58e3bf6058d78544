"""What it costs, before anything is sent."""

import io
import sys

import pytest

from qweft.devices import DeviceError, Limits, make_device
from qweft.devices.jobs import Budget, Caps, Price, PriceList, Store, confirm, estimate
from tests.devices.jobs.circuits import PRICE, SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice


@pytest.fixture
def prices(tmp_path, monkeypatch):
    """Load a list with the user's own on top."""

    def load(text):
        (tmp_path / "prices.yaml").write_text(text)
        monkeypatch.setenv("QWEFT_PRICES", str(tmp_path / "prices.yaml"))
        return PriceList.load()

    return load


@pytest.fixture
def device(tmp_path):
    return FakeDevice(Cloud(tmp_path / "cloud.sqlite"), most=100)


def test_a_charge_is_the_sum_of_its_parts():
    charge = Price(("x",), "USD", 2.0, 0.3, 0.001, 1.6, 2.0, 0.00035).charge(3, 500, 500_000)
    seconds = 3 * 2.0 + 500 * 1000 * 0.00035
    assert charge.seconds == pytest.approx(seconds)
    assert charge.money == pytest.approx(3 * 2.0 + 500 * 0.3 + 500_000 * 0.001 + 1.6 * seconds)


def test_the_users_own_list_is_asked_first(prices):
    own = prices(
        "devices:\n"
        "- {match: 'Origin:WK_*', currency: CNY, circuit: 1e-3}\n"
        "- {match: 'pennylane:b*', currency: USD, circuit: 0.3, shot: 0.00145}\n"
    )
    assert own.of("origin:wk_c180").charge(1, 2, 10).money == pytest.approx(0.002)
    assert own.of("pennylane:braket.aws.qubit").charge(20, 20, 80_000).money == pytest.approx(122.0)
    assert own.of("qiskit:ibm_kingston").amounts == {"second": 1.6}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- [", "not valid YAML"),
        ("devices: [{match: x, shots: 1}]", "shots"),
        ("devices: [{match: x, shot: 1}]", "no currency"),
        ("devices: [{match: x, currency: USD, shot: -1}]", "shot: .* got -1"),
        ("devices: [{match: x, currency: USD, shot: .nan}]", "NaN"),
    ],
)
def test_what_is_no_price_list(prices, text, words):
    with pytest.raises(DeviceError, match=words):
        prices(text)


@pytest.mark.parametrize("caps", [Caps(money=5.0), Caps(seconds=5.0)])
def test_a_cap_on_what_nobody_knows_is_refused(caps):
    with pytest.raises(DeviceError, match="cannot be kept"):
        Budget("origin:WK_C180", PriceList.load().of("origin:WK_C180"), caps)
    Budget("origin:WK_C180", PriceList.load().of("origin:WK_C180"), Caps(circuits=5))


@pytest.mark.parametrize(
    ("limits", "shots", "most"),
    [
        (Limits(), 10, None),
        (Limits(circuits=5), 10, 5),
        (Limits(executions=100), None, None),
        (Limits(circuits=5, executions=100), 30, 3),
        (Limits(circuits=5, executions=100), 1000, 1),
    ],
)
def test_circuits_of_one_job(limits, shots, most):
    assert limits.circuits_at(shots) == most


def test_what_is_estimated_is_what_is_sent(device, tmp_path):
    device.limits = Limits(circuits=100, executions=2 * SHOTS)
    assert estimate(device, PRICE, 5, SHOTS).charge.jobs == 3
    executor(device, Store(tmp_path)).run(circuits(*range(5)), SHOTS)
    assert len(device.cloud.jobs()) == 3


def test_an_estimate_counts_what_is_not_there_yet(device):
    found = estimate(device, PRICE, 450, 10, cached=100)
    assert (found.charge.jobs, found.needs_consent) == (4, True)
    assert found.charge.money == pytest.approx(4 * 1.0 + 350 * 0.25 + 3500 * 0.01)
    assert found.charge.seconds == pytest.approx(4 * 2.0 + 3500 * 0.001)
    assert not estimate(device, PRICE, 100, 10, cached=100).needs_consent
    assert estimate(device, PRICE, 100, 10, cached=100).charge.money == 0


def test_without_a_terminal_nobody_is_asked(device, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(DeviceError, match="no terminal to ask at; pass --yes"):
        confirm(estimate(device, PRICE, 450, 10, cached=100), False)
    out, err = capsys.readouterr()
    assert out == "" and "450, of which 100 have results" in err
    assert "126.50 USD" in err
    confirm(estimate(device, PRICE, 450, 10), True)
    assert "450" in capsys.readouterr().err
    confirm(estimate(make_device("shots"), Price(("x",), job=0.0), 450, 10), False)
    assert capsys.readouterr() == ("", "")
