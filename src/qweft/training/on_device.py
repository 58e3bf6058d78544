"""Training with circuits that run on a device or under a noise model."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError
from qweft.training.config import TrainingConfig

if TYPE_CHECKING:
    from qweft.devices import Device


def check_device(training: TrainingConfig) -> None:
    """Check that the device exists and can train, before anything is loaded."""
    name, device = training.device, _device(training)
    if training.measures and device.may_bill:
        raise QweftError(f"training.device {name} may cost money for each circuit; train on noisy or another simulator")
    if training.gradient == "exact" and (name not in ("exact", "noisy") or training.shots is not None):
        what = f"training.device {name}" if training.shots is None else f"training.shots {training.shots}"
        raise QweftError(f"{what} has no exact gradients; use training.gradient parameter_shift")


def describe(training: TrainingConfig) -> str:
    """Describe device, shots and gradients for the terminal."""
    shots = "exact probabilities" if training.shots is None else f"{training.shots:,} shots a circuit"
    how = "by parameter shift" if training.gradient == "parameter_shift" else "exact"
    return f"circuits on device {_device(training).identity()}, {shots}, gradients {how}"


def circuits_on_device(model: Any, training: TrainingConfig) -> AbstractContextManager[None]:
    """Run the model's circuits on the config's device inside a `with` block; a model without circuits is unchanged."""
    if not training.measures:
        return nullcontext()
    from qweft.adapter.cores import FunctionCore
    from qweft.devices import Measurer
    from qweft.devices.noise.paulis import noisy_expectations
    from qweft.devices.simulators import NoisyDevice
    from qweft.evaluation.on_device import check_qubits, circuit_layers, on_device

    if not any(isinstance(part, FunctionCore) and part.circuit is not None for part in model.modules()):
        return nullcontext()  # a comparison also trains methods without circuits
    device = _device(training)
    layers = circuit_layers(model)
    check_qubits(device, {name: core.circuit for name, core in layers.items() if core.circuit is not None})
    if training.gradient == "exact":
        assert isinstance(device, NoisyDevice)
        return on_device(model, partial(noisy_expectations, model=device.noise))
    return on_device(model, Measurer(device, training.shots))


def _device(training: TrainingConfig) -> "Device":
    from qweft.devices import Device, DeviceSettings, make_device

    device = make_device(training.device, DeviceSettings(training.seed, training.noise, training.noise_scale))
    if not isinstance(device, Device):
        raise QweftError(f"training.device {training.device} takes jobs; train on noisy, and evaluate on the chip")
    device.check(training.shots)
    return device
