"""Adapters of other circuits: the hardware-efficient one, and a program in OpenQASM 3."""

import pytest
import torch
from peft import PeftModel, get_peft_model

from qweft import QweftError, QwthnConfig
from qweft.adapter import QwthnLinear
from qweft.adapter.attach import adapter_config
from qweft.circuit import c, circuit_of, gate_by_gate, hardware_efficient_ansatz, t
from qweft.circuit.formats import to_openqasm3
from qweft.cli.parser import parse
from qweft.method.presets import stated
from qweft.training.config import RunConfig
from tests.tiny_models import tiny_llama

IDS = torch.arange(24).view(2, 12)
SMALL = {"r": 3, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"], "start": "scaled"}
OWN = circuit_of(
    4,
    *(("rx", i, 0.5 * c(i)) for i in range(3)),
    ("h", 3),
    ("crx", 3, 0, t(0)),
    ("crz", 0, 1, t(1)),
    ("cnot", 1, 2),
    ("rot", 2, t(2), t(3), t(4)),
    measured=["Z0", "Z1", "Z2"],
)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.qasm"
    path.write_text(to_openqasm3(OWN))
    return str(path)


@pytest.fixture(params=["hardware-efficient", "own"])
def circuit(request, own):
    return own if request.param == "own" else request.param


def trained(model, steps=3):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses


@pytest.mark.parametrize("preset", ["qtha", "qwthn"])
def test_it_trains_and_comes_back_from_its_folder(preset, circuit, tmp_path):
    model = get_peft_model(tiny_llama(), QwthnConfig.preset(preset, circuit=circuit, **SMALL))
    losses = trained(model)
    assert losses[-1] < losses[0]
    layer = next(each for each in model.modules() if isinstance(each, QwthnLinear))
    core = layer.qwthn_core["default"]
    wanted = hardware_efficient_ansatz(3, 3) if circuit == "hardware-efficient" else OWN
    assert core.circuit == wanted and core.angles.shape == (wanted.parameters,)
    x = torch.randn(5, 3)
    torch.testing.assert_close(
        core.function_values(x, *core.angles_of(core.tensors())), gate_by_gate(wanted, x, core.angles)
    )
    model.eval().save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path / "adapter").eval()
    torch.testing.assert_close(again(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_controls_have_the_size_of_its_circuit(own):
    sizes = {}
    for core in ("quantum_linear", "mlp_linear", "product_linear", "frozen_linear", "fourier_linear"):
        model = get_peft_model(tiny_llama(), QwthnConfig.preset("qtha", circuit=own, core=core, **SMALL))
        sizes[core] = sum(p.numel() for name, p in model.named_parameters() if p.requires_grad)
        trained(model, steps=1)
    layers = 4
    assert sizes["quantum_linear"] - sizes["frozen_linear"] == layers * OWN.parameters
    assert sizes["product_linear"] == sizes["quantum_linear"] - layers * 2  # without CRX and CRZ


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"circuit": "ring"}, "circuit must be one of recorded, hardware-efficient, or"),
        ({"circuit": "missing.qasm"}, "'missing.qasm' cannot be read"),
        ({"circuit": "own", "r": 4}, "3 inputs .* and 3 outputs, and this adapter's takes 4"),
        ({"circuit": "own", "circuit_layers": 2}, "circuit_layers does nothing"),
        ({"circuit": "hardware-efficient", "reupload": False}, "reupload false is of the recorded circuit alone"),
        (
            {"circuit": "hardware-efficient", "core": "linear"},
            "circuit 'hardware-efficient' does nothing with core 'linear'",
        ),
        ({"circuit": "OPENQASM 3; qubit[2] q; u3(1, 2, 3) q[0];"}, "u3|angle"),
    ],
)
def test_a_circuit_that_does_not_fit_is_refused(changes, message, own):
    given = {**SMALL, **changes}
    given["circuit"] = own if given["circuit"] == "own" else given["circuit"]
    with pytest.raises(QweftError, match=message):
        QwthnConfig.preset("qtha", **given)


def test_only_what_a_user_gives_names_a_file(own):
    assert (
        QwthnConfig.preset("qtha", circuit=own, **SMALL).circuit
        == parse(RunConfig, ["--adapter.preset", "qtha", "--adapter.circuit", own]).adapter["circuit"]
    )
    with pytest.raises(QweftError, match="circuit must be one of"):  # as a stranger's record would
        adapter_config({"peft_type": "QWTHN", "circuit": own})
    assert stated({"preset": "qtha", "circuit": own})["circuit"] == own
