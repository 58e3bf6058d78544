"""Each wrong use is one sentence with the way out."""

import numpy as np
import pytest
import torch

from qweft import QweftError
from qweft.circuit import crz_ring_ansatz
from qweft.circuit.formats import FORMATS, to_openqasm2, to_originir, to_pennylane, to_qiskit

CIRCUIT = crz_ring_ansatz(2, 1)
ALL = [*(form.write for form in FORMATS.values()), to_qiskit, to_pennylane]


def needs(write):
    if write in (to_qiskit, to_pennylane):
        pytest.importorskip("qiskit" if write is to_qiskit else "pennylane")


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [({}, "inputs and parameters"), ({"inputs": [0, 0]}, "and parameters"), ({"parameters": [0] * 8}, "and inputs")],
)
@pytest.mark.parametrize(("write", "language"), [(to_openqasm2, "OpenQASM 2"), (to_originir, "OriginIR")])
def test_a_language_without_parameters_needs_all_numbers(write, language, numbers, missing):
    with pytest.raises(QweftError, match=rf"{language} has no parameters.*{missing} were not given.*OpenQASM 3"):
        write(CIRCUIT, **numbers)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"inputs": [0.0] * 3}, r"inputs are of shape \(3,\), and one circuit takes 2 numbers of shape \(2,\)$"),
        ({"inputs": torch.zeros(5, 2)}, r"inputs are of shape \(5, 2\).*one token at a time"),
        ({"inputs": 0.5}, r"inputs are of shape \(\)"),
        ({"parameters": np.zeros(4)}, r"parameters are of shape \(4,\), and one circuit takes 8"),
        ({"inputs": [0.0, float("nan")]}, r"inputs\[1\] is nan; an angle is a finite number"),
        ({"parameters": torch.tensor([0, 0, -torch.inf, 0, 0, 0, 0, 0])}, r"parameters\[2\] is -inf"),
    ],
)
@pytest.mark.parametrize("write", ALL)
def test_numbers_that_do_not_fit(write, numbers, words):
    needs(write)
    with pytest.raises(QweftError, match=words):
        write(CIRCUIT, **numbers)
