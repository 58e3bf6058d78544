"""`qweft doctor`: what it finds, and that it fails where there is a fault."""

import json

import pytest
import torch

from qweft import circuit, doctor
from qweft.cli.main import main


def test_a_sound_machine(capsys):
    assert main(["doctor", "--json"]) == 0
    findings = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert not [name for name, each in findings.items() if each["state"] == "fault"]
    assert {"python", "torch", "model cache", "train, save, load"} <= set(findings)
    assert "when loaded again" in findings["train, save, load"]["said"]


def test_a_fault_is_told_and_the_exit_status_says_so(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "STEPS", 0)
    monkeypatch.setitem(doctor.SELF_TEST, "circuits on the CPU", lambda: 1 / 0)
    assert main(["doctor"]) == 2
    captured = capsys.readouterr()
    assert "FAULT  circuits on the CPU: ZeroDivisionError: division by zero" in captured.out
    assert "train, save" not in captured.out and "1 fault: circuits on the CPU" in captured.err


def test_a_version_out_of_range_and_a_package_that_is_missing(monkeypatch):
    monkeypatch.setattr(
        "importlib.metadata.requires",
        lambda name: [
            "torch>=99",
            "no-such-package>=1",
            "rich>=13; extra == 'workbench'",
            "numba>=99; extra == 'fast'",
        ],
    )
    findings = {each.name: each for each in doctor.packages()}
    assert findings["torch"].state == "fault" and "pip install 'torch>=99'" in findings["torch"].said
    assert findings["no-such-package"].state == "fault" and "not installed" in findings["no-such-package"].said
    assert findings["rich"].state == "ok" and "numba" not in findings


def test_circuits_that_differ_are_a_fault(monkeypatch):
    assert "by the compiled kernels" in doctor._check_circuits("cpu", torch.float32, 1e-5)
    monkeypatch.setattr(circuit, "expectation_values", lambda c, x, t: circuit.gate_by_gate(c, x, t) + 1e-3)
    with pytest.raises(ArithmeticError, match=r"differ by 1\.0e-03 from those gate by gate"):
        doctor._check_circuits("cpu", torch.float32, 1e-5)
