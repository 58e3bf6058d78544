"""What the packages themselves count, by the paths that chips take: their order of bits is theirs."""

import numpy as np
import pytest

from qweft.devices import Frequencies, make_device
from qweft.devices.outcomes import from_counts
from tests.devices.providers.forms import circuits
from tests.devices.providers.scores import check_scatter


def exact(some):
    return make_device("exact").run(some, None).expectations()


def test_a_device_of_a_pennylane_plugin():
    """The reference device goes the way of plugins: a tape a circuit, counts as they come."""
    pytest.importorskip("pennylane")
    device = make_device("pennylane:reference.qubit")
    device.check(300)
    some = circuits(20)
    check_scatter(device.run(some, 300), exact(some))
    few = some.pick([0, 7])
    np.testing.assert_allclose(device.run(few, None).expectations(), exact(few), rtol=0, atol=1e-9)


def test_aer_under_the_noise_of_a_chip():
    """Aer's own trajectories of the measured circuit under all errors of the chip, and the probabilities used here."""
    aer = pytest.importorskip("qiskit_aer")
    fakes = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    from qweft.devices.providers.qiskit.compilation import compile_form

    device, some = make_device("qiskit:fake_manila"), circuits(20)
    noisy = device.run(some, None).expectations()
    assert abs(noisy - exact(some)).max() > 0.1
    simulator = aer.AerSimulator.from_backend(fakes.FakeManilaV2(), seed_simulator=3)
    compiled = compile_form(fakes.FakeManilaV2(), some)
    bound = [compiled.assign_parameters(row) for row in some.angles]
    counts = simulator.run(bound, shots=2000).result().get_counts()
    rows = [from_counts({bits[::-1]: count for bits, count in one.items()}, 3, 2000) for one in counts]
    check_scatter(Frequencies(np.stack(rows), 2000), noisy)
