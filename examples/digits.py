"""A classifier of scikit-learn's handwritten digits with a quantum layer of eight qubits."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from qweft import QuantumLayer
from qweft.circuit import hardware_efficient_ansatz

torch.manual_seed(0)
digits = load_digits()
x_train, x_test, y_train, y_test = train_test_split(digits.data / 16, digits.target, random_state=0)
x_train, x_test = (torch.tensor(x, dtype=torch.float32) for x in (x_train, x_test))
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

circuit = hardware_efficient_ansatz(qubits=8, layers=2)
model = nn.Sequential(nn.Linear(64, 8), QuantumLayer(circuit), nn.Linear(8, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for _ in range(20):
    for rows in torch.randperm(len(x_train)).split(64):
        loss = nn.functional.cross_entropy(model(x_train[rows]), y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

accuracy = (model(x_test).argmax(1) == y_test).double().mean()
print(f"{accuracy:.1%} of {len(y_test)} test digits are right; the circuit has {circuit.parameters} trained angles")
