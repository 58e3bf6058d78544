"""Price lists and noise models that are malformed."""

import contextlib
import math

import yaml

from qweft.devices.noise.model import noise_model
from qweft.devices.prices import PriceList
from tests.malformed.cases import cases, outcome
from tests.malformed.mutations import mutated, with_other_numbers
from tests.malformed.test_configs import text_of

PRICES = {
    "devices": [
        {"match": "fake:*", "currency": "USD", "job": 1.0, "circuit": 0.25, "shot": 0.01, "second": 2.0,
         "seconds_a_job": 2.0, "seconds_a_shot": 0.001, "source": "told", "date": "2026-01-01"},
        {"match": ["other:*", "more"], "like": "fake:chip"},
        {"match": "free", "job": 0},
    ]
}  # fmt: skip


def written(value, draw):
    """The bytes of a YAML file, perhaps malformed; what YAML's writer cannot write is drawn anew."""
    while True:
        with contextlib.suppress(yaml.YAMLError):
            if draw.random() < 0.4:
                return text_of(with_other_numbers(value, draw), draw)
            return text_of(mutated(value, draw) if draw.random() < 0.8 else value, draw)


def priced(path):
    """What each device of a list costs."""
    found = PriceList.load(path)
    for device in ("fake:chip", "other:one", "more", "free", "x"):
        charge = found.of(device).charge(2, 10, 100)
        for number in (charge.money, charge.seconds):
            assert number is None or (isinstance(number, float) and number >= 0 and not math.isnan(number)), device
        assert isinstance(charge.currency, str)
    return found


def test_mutated_price_lists(tmp_path):
    path = tmp_path / "prices.yaml"
    for number, draw in cases("price files"):
        path.write_bytes(written(PRICES, draw))
        outcome(f"prices {number}: {path.read_bytes()!r:.2000}", priced, path)


NOISE = {"one_qubit": 0.01, "two_qubit": 0.1, "readout": [[0.95, 0.05], [0.1, 0.9]], "channel": "pair", "source": "a"}


def test_mutated_noise_models(tmp_path):
    path = tmp_path / "noise.yaml"
    for number, draw in cases("noise files"):
        path.write_bytes(written(NOISE, draw))
        found = outcome(f"noise {number}: {path.read_bytes()!r:.2000}", noise_model, str(path))
        if found is not None:
            numbers = (found.one_qubit, found.two_qubit, *found.readout[0], *found.readout[1])
            assert all(isinstance(each, float) and 0 <= each <= 1 for each in numbers), number
            assert isinstance(found.source, str) and found.channel in ("each", "pair")
