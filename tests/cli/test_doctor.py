"""`qweft doctor`: what it finds, and that it fails where there is a fault."""

import json

import pytest
import torch

from qweft import circuit, doctor
from qweft.circuit import engine, fused
from qweft.cli.main import main


def test_a_sound_machine(capsys):
    assert main(["doctor", "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert not [name for name, each in found.items() if each["state"] == "fault"]
    assert {"python", "torch", "cpu", "model cache", "extra qiskit", "train, save, load"} <= set(found)
    assert "when loaded again" in found["train, save, load"]["said"]


def test_a_fault_is_told_and_the_exit_status_says_so(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "STEPS", 0)
    monkeypatch.setitem(doctor.PARTS, "circuit engine, exact", lambda: 1 / 0)
    assert main(["doctor"]) == 2
    captured = capsys.readouterr()
    assert "FAULT  circuit engine, exact: ZeroDivisionError: division by zero" in captured.out
    assert "train, save" not in captured.out and "1 fault: circuit engine, exact" in captured.err


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
    found = {each.name: each for each in doctor.packages()}
    assert found["torch"].state == "fault" and "pip install 'torch>=99'" in found["torch"].said
    assert found["no-such-package"].state == "fault" and "not installed" in found["no-such-package"].said
    assert found["rich"].state == "ok" and "numba" not in found


def test_a_gpu_is_compared_with_the_cpu_and_its_engine_named(monkeypatch):
    """The CPU stands for the GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor, "GPU", "cpu")
    said = "values and gradients equal to the CPU's to 0e+00, by "
    assert doctor._on_gpu() == f"{said}PyTorch's operations, which are slower; the fused kernels need Triton"
    true_values = circuit.expectation_values
    monkeypatch.setattr(fused, "available", lambda _: True)
    monkeypatch.setattr(circuit, "expectation_values", lambda c, x, t: engine.by_gates(c, x, t), raising=False)
    monkeypatch.setattr(engine, "by_gates", circuit.gate_by_gate, raising=False)
    assert doctor._on_gpu().endswith("by the fused kernels")
    turn = iter([0.0, 1e-3])
    monkeypatch.setattr(circuit, "expectation_values", lambda c, x, t: true_values(c, x, t) + next(turn), raising=False)
    with pytest.raises(ArithmeticError, match=r"differ by 1\.0e-03 from the CPU's"):
        doctor._on_gpu()
