"""A family of devices is one file: a module put into the folder of providers is named, listed and run.

What it has saved is shown nowhere.
"""

import json
import sys

import pytest
import torch

import qweft.devices.providers as folder
from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.cli.main import main
from qweft.core.redaction import without_secrets
from qweft.devices import Measurer, make_device
from qweft.devices.jobs import Executor, Store
from qweft.devices.registry import families

TOY = """
from qweft.devices.device import CatalogueEntry, Provider
from tests.devices.jobs.fake_provider import make


def credentials():
    yield "word of the toy"
    raise OSError("its file of accounts is damaged")


PROVIDER = Provider(make, (CatalogueEntry("toy:later", "a toy", ("no_such_package",)),), credentials)
"""


@pytest.fixture(autouse=True)
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop(f"{folder.__name__}.toy", None)


def test_it_is_listed_with_what_it_needs(capsys):
    assert main(["devices", "--json"]) == 0
    (later,) = (entry for entry in json.loads(capsys.readouterr().out) if entry["name"].startswith("toy:"))
    assert (later["what"], later["missing"]) == ("a toy", ["no_such_package"])
    assert later["install"] == "pip install '.[toy]'"
    assert "word" not in without_secrets("it has the word of the toy")


def test_what_takes_jobs_is_measured_on(tmp_path):
    circuit, generator = crz_ring_ansatz(3, 2), torch.Generator().manual_seed(1)
    shapes = (4, 3), (circuit.parameters,)
    inputs, angles = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    device, store = make_device(f"toy:{tmp_path / 'cloud'}"), Store(tmp_path)
    measured = Measurer(Executor(device, store), 4000)(circuit, inputs, angles)
    torch.testing.assert_close(measured, expectation_values(circuit, inputs, angles), rtol=0, atol=0.1)
    (job,) = store.jobs()
    assert (job.device, job.circuits) == (device.name, 4)
