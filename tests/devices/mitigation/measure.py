"""The table of docs/devices.md: python -m tests.devices.mitigation.measure."""

import warnings

import numpy as np

from qweft.devices import DeviceSettings, make_device
from qweft.devices.mitigation import make_mitigation
from tests.devices.providers.forms import circuits

DEVICES = {
    "noisy": DeviceSettings(noise="paper"),
    "noisy, a tenth": DeviceSettings(noise="paper", noise_scale=0.1),
    "qiskit:fake_manila": DeviceSettings(),
    "qiskit:fake_torino": DeviceSettings(),
}
MITIGATIONS = [
    (None, None, "richardson"),
    ("inverse", None, "richardson"),
    ("m3", None, "richardson"),
    ("inverse", (1, 3, 5), "richardson"),
    ("inverse", (1, 3, 5), "linear"),
    ("inverse", (1, 3, 5), "exponential"),
    ("inverse", (1, 3), "linear"),
]


def main() -> None:
    """Prints a row for each device, mitigation and number of shots: mean absolute error, mean standard error."""
    some = circuits(20, 4, 2)
    exact = make_device("exact").run(some, None).expectations()
    for name, settings in DEVICES.items():
        device = make_device(name.partition(",")[0], settings)
        for arguments in MITIGATIONS:
            for shots in (None, 10_000, 1000):
                if arguments[0] == "m3" and shots is None:
                    continue
                found = make_mitigation(*arguments).estimate(device, some, shots)
                error = np.abs(found.values - exact).mean()
                print(f"{name} {arguments} {shots}: {error:.3f} ({found.standard_errors.mean():.3f})")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
