"""A family of devices is one file: a module put into the folder of providers is named, listed, priced and run.

What it has saved is shown nowhere.
"""

import json
import sys

import numpy as np
import pytest
import torch

import qweft.devices.providers as folder
from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.cli.main import main
from qweft.devices import Measurer, make_device
from qweft.devices.jobs import Budget, Caps, Executor, PriceList, Store
from qweft.devices.registry import families

TOY = '''
"""A toy family: jobs that are done when they are sent."""

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import JobState, RemoteDevice
from qweft.devices.device import Entry, Provider
from qweft.devices.outcomes import sample
from qweft.devices.simulators import probabilities


class Later(RemoteDevice):
    can_find = True
    sent = {}

    def submit(self, circuits, shots, token):
        self.sent[token] = sample(probabilities(circuits), shots, circuits.keys(), 0)
        return token

    def state(self, job):
        return JobState.DONE

    def fetch(self, job, circuits, shots):
        rows = self.sent[job]
        return {
            place: {f"{b:0{circuits.qubits}b}": round(value * shots) for b, value in enumerate(row) if value}
            for place, row in enumerate(rows)
        }

    def find(self, token):
        return token if token in self.sent else None

    def cancel(self, job):
        pass


def credentials():
    yield "word of the toy"
    raise OSError("its file of accounts is damaged")


def make(name, target, settings):
    return Later(name)


PROVIDER = Provider(
    make,
    (Entry("toy:later", "a toy that takes jobs", ("no_such_package",), "toys"),),
    credentials=lambda: credentials(),
)
'''


PRICES = """
devices:
- {match: ["toy:l*"], circuit: 0.5, currency: EUR, date: today}
"""


@pytest.fixture(autouse=True)
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "prices.yaml").write_text(PRICES)
    monkeypatch.setenv("QWEFT_PRICES", str(tmp_path / "prices.yaml"))
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop(f"{folder.__name__}.toy", None)


def arguments():
    circuit = crz_ring_ansatz(3, 2)
    generator = torch.Generator().manual_seed(1)
    draw = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in ((4, 3), (circuit.parameters,))]
    return circuit, *draw


def test_it_is_listed_with_its_price_and_what_it_needs(capsys):
    assert main(["devices", "--json"]) == 0
    (later,) = (entry for entry in json.loads(capsys.readouterr().out) if entry["name"].startswith("toy:"))
    assert (later["what"], later["missing"]) == ("a toy that takes jobs", ["no_such_package"])
    assert (later["install"], later["price"]) == ("pip install '.[toys]'", "EUR 0.5 a circuit (today)")


def test_what_takes_jobs_is_measured_on_and_paid():
    circuit, inputs, angles = arguments()
    budget = Budget("toy:later", PriceList.load().of("toy:later"), Caps(money=3.0))
    device, store = make_device("toy:later"), Store()
    found = Measurer(Executor(device, store, budget), 4000)(circuit, inputs, angles)
    np.testing.assert_allclose(found, expectation_values(circuit, inputs, angles), atol=0.1)
    (job,) = store.jobs()
    assert (job.device, job.cost, job.currency) == ("toy:later", 2.0, "EUR")
