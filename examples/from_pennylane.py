"""Move a PennyLane TorchLayer to a QuantumLayer: equal outputs and gradients, and the ratio of their times."""

import statistics
import time

import pennylane as qml
import torch

from qweft import QuantumLayer, c, circuit_of, t

torch.set_num_threads(1)
QUBITS, LAYERS, ROWS = 6, 3, 512


@qml.qnode(qml.device("default.qubit", wires=QUBITS), interface="torch", diff_method="backprop")
def node(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(QUBITS), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(QUBITS))
    return [qml.expval(qml.Z(i)) for i in range(QUBITS)]


theirs = qml.qnn.TorchLayer(node, {"weights": (LAYERS, QUBITS, 3)})

# the same circuit: rows of a gate's name, its qubits and its angle
gates = [("ry", i, c(i)) for i in range(QUBITS)]
for layer in range(LAYERS):
    gates += [("rot", i, *(t(3 * (QUBITS * layer + i) + k) for k in range(3))) for i in range(QUBITS)]
    gates += [("cnot", i, (i + layer % (QUBITS - 1) + 1) % QUBITS) for i in range(QUBITS)]
ours = QuantumLayer(circuit_of(QUBITS, *gates))
ours.weight.data = theirs.weights.data.flatten()


def step(layer: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs and the gradient of the weights, of a sum of squares."""
    layer.zero_grad()
    values = layer(x)
    values.square().sum().backward()
    return values.detach(), next(layer.parameters()).grad.flatten()


x = torch.randn(ROWS, QUBITS)
worst = max(float((a - b).abs().max()) for a, b in zip(step(theirs, x), step(ours, x), strict=True))
ratios = []
for _ in range(5):
    times = []
    for each in (theirs, ours):
        start = time.perf_counter()
        step(each, x)
        times.append(time.perf_counter() - start)
    ratios.append(times[0] / times[1])
print(f"largest difference {worst:.1e}; PennyLane takes {statistics.median(ratios):.0f} times as long")
