"""Training whose circuits run on a device."""

import dataclasses

import pytest
import torch
from peft import get_peft_model

from qweft import QwthnConfig
from qweft.core.errors import QweftError
from qweft.training.checks import check_training
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from tests.tiny_models import tiny_llama
from tests.training.test_loop import rows

EXACT = TrainingConfig(learning_rate=1e-2, max_steps=4, batch_size=2, gradient_accumulation=1)
NOISY = dataclasses.replace(EXACT, device="noisy")
SHIFTED = dataclasses.replace(EXACT, gradient="parameter_shift")


def adapted(seed=0, core="quantum_linear", r=2, layers=1):
    torch.manual_seed(seed)
    config = QwthnConfig(core=core, r=r, circuit_layers=layers, width=8, bond_dimension=2, target_modules=["v_proj"])
    return get_peft_model(tiny_llama(), config)


def trained(training, **shape):
    model = adapted(**shape)
    found = fit(model, rows(8), 0, training)
    return found.curve, {name: value for name, value in model.named_parameters() if value.requires_grad}


def assert_equal_training(one, other):
    for (_, loss), (_, other_loss) in zip(one[0], other[0], strict=True):
        assert loss == pytest.approx(other_loss, abs=2e-5)
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], rtol=0, atol=1e-4, msg=name)


@pytest.mark.parametrize("core", ["quantum_weighted", "frozen_linear"])
def test_noise_scaled_to_nothing_is_exact_training(core):
    none = dataclasses.replace(NOISY, noise_scale=0.0)
    exact = trained(EXACT, core=core)
    assert_equal_training(trained(none, core=core), exact)
    assert abs(trained(NOISY, core=core)[0][-1][1] - exact[0][-1][1]) > 3e-4  # and with its noise it is another


@pytest.mark.parametrize(
    ("shifted", "plain"), [(SHIFTED, EXACT), (dataclasses.replace(SHIFTED, device="noisy"), NOISY)]
)
def test_shifted_circuits_train_as_exact_gradients_do(shifted, plain):
    assert_equal_training(trained(shifted), trained(plain))


def test_shots_train_too_and_their_seed_decides():
    shots = dataclasses.replace(SHIFTED, device="noisy", shots=50, max_steps=2)
    first = trained(shots)
    again = trained(shots)
    assert first[0] == again[0]
    assert all(torch.equal(first[1][name], again[1][name]) for name in first[1])
    exact = trained(dataclasses.replace(shots, shots=None))
    assert any(not torch.allclose(first[1][name], exact[1][name], atol=1e-5) for name in first[1])


def test_a_device_that_may_cost_money_is_refused():
    """A plugin may stand for a chip, and a training asks it for millions of circuits."""
    paid = dataclasses.replace(SHIFTED, device="pennylane:reference.qubit", shots=100)
    with pytest.raises(QweftError, match=r"pennylane:reference\.qubit may cost money"):
        check_training(paid)


def test_a_noise_model_of_a_file_counts_by_its_numbers(tmp_path):
    """The file may change between a stop and the same command; a run that goes on would mix two models."""
    file, text = tmp_path / "mine.yaml", "one_qubit: {}\ntwo_qubit: 0\nreadout: [[1, 0], [0, 1]]\n"
    file.write_text(text.format(0.01))
    training = dataclasses.replace(NOISY, noise=str(file))
    before = training.decides(False)
    file.write_text(text.format(0.02))
    assert training.decides(False) != before
    file.write_text(text.format(0.01) + "# the same\n")
    assert training.decides(False) == before
    assert dataclasses.replace(NOISY, noise="paper").decides(False)["noise"] == "paper"
