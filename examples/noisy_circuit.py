# The method's circuit, exactly, on shots, and on a noisy simulator of the paper's chip. Ten seconds on two cores.
import math

import torch

from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.devices import DeviceSettings, Measurer, make_device

circuit = crz_ring_ansatz(4, 2)  # four qubits, two layers of CRZ rings and RY rotations
torch.manual_seed(0)
inputs = torch.randn(5, circuit.inputs, dtype=torch.float64)  # what a layer hands to its circuit, for five tokens
angles = math.pi * (2 * torch.rand(circuit.parameters, dtype=torch.float64) - 1)
exact = expectation_values(circuit, inputs, angles)  # <Z> of each qubit, for each token


def show(name, values):
    """Print the first token's values, and the mean error over all of them."""
    first = " ".join(f"{value:+.3f}" for value in values[0])
    print(f"{name:24} {first}   mean error {(values - exact).abs().mean():.3f}")


show("exact", exact)
show("1,000 shots", Measurer(make_device("shots", DeviceSettings(seed=0)), shots=1000)(circuit, inputs, angles))
for scale in (0.1, 1.0):  # all error probabilities times this; 1 is the noise model on record for the paper
    device = make_device("noisy", DeviceSettings(seed=0, noise="paper", noise_scale=scale))
    show(f"noise x {scale}, no shots", Measurer(device)(circuit, inputs, angles))
    show(f"noise x {scale}, 1,000 shots", Measurer(device, shots=1000)(circuit, inputs, angles))
