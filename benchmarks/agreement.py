"""The circuits of a trained adapter on every simulator: do their values agree?

    OMP_NUM_THREADS=1 python -m benchmarks.agreement runs/demo/qtha-0/adapter        (five minutes on one core)

Every circuit of every layer for the tokens of a text, without shots against the exact engine, and with 10,000 shots in
standard errors. Writes benchmarks/results/agreement.json.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qweft.circuit import Circuit, expectation_values
from qweft.core.errors import require
from qweft.core.files import write_json
from qweft.devices import BoundCircuits, DeviceSettings, RemoteDevice, make_device
from qweft.evaluation.loss import judged
from qweft.evaluation.on_device import on_device
from qweft.evaluation.record import model_of
from qweft.evaluation.saved import put_on
from qweft.models.load import load_model

DEVICES = {
    "shots": None,
    "noisy": None,
    "pennylane:default.qubit": "pennylane",
    "pennylane:lightning.qubit": "pennylane",
    "qiskit:aer": "qiskit",
    "origin:cpu": "origin",
}
SHOTS = 10_000
TEXT = "Hi, how are you? I have not seen you for a while."


def seen(adapter: Path) -> list[tuple[Circuit, torch.Tensor, torch.Tensor]]:
    """(circuit, inputs, angles) of every layer in the order in which the model runs them, in float64."""
    loaded = load_model(model_of(adapter, {}))
    model = put_on(loaded, adapter)
    found: list[tuple[Circuit, torch.Tensor, torch.Tensor]] = []

    def note(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        found.append((circuit, c.detach().double().reshape(-1, circuit.inputs), angles.detach().double()))
        return expectation_values(circuit, c, angles)

    ids = torch.tensor([loaded.tokenizer(TEXT).input_ids])
    with on_device(model, note), judged(model):
        model(input_ids=ids)
    return found


def measured(name: str, circuits: list[BoundCircuits], exact: np.ndarray) -> dict[str, Any]:
    """A line of numbers for one device; `noisy` with its noise scaled to zero is to be the exact circuit."""
    device = make_device(name, DeviceSettings(noise_scale=0.0) if name == "noisy" else None)
    assert not isinstance(device, RemoteDevice)
    line: dict[str, Any] = {"device": name}
    if name != "shots":
        values = np.concatenate([device.run(some, None).expectations() for some in circuits])
        line["largest_difference"] = float(np.abs(values - exact).max())
    values = np.concatenate([device.run(some, SHOTS).expectations() for some in circuits])
    spread = np.sqrt(np.clip(1 - exact**2, 1e-9, None) / SHOTS)
    scores = (values - exact) / spread
    return line | {
        "within_three_errors": float((np.abs(scores) <= 3).mean()),
        "largest_score": float(np.abs(scores).max()),
        "mean_square_score": float((scores**2).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapter", type=Path)
    options = parser.parse_args()
    layers = seen(options.adapter)
    circuits = [BoundCircuits.of(*layer) for layer in layers]
    exact = np.concatenate([expectation_values(*layer).numpy() for layer in layers])
    print(f"{len(layers)} layers, {len(exact):,} circuits, {exact.size:,} values, mean |z| {np.abs(exact).mean():.3f}")
    lines = []
    for name, extra in DEVICES.items():
        if extra is not None:
            require(name.partition(":")[0].replace("origin", "pyqpanda3"), extra, f"device {name}")
        lines.append(measured(name, circuits, exact))
        print(lines[-1], flush=True)
    write_json("benchmarks/results/agreement.json", {"circuits": len(exact), "shots": SHOTS, "lines": lines})


if __name__ == "__main__":
    main()
