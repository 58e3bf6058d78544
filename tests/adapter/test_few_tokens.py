"""A branch on few tokens in one compiled call: equal to the ordinary way, and taken only where it may be."""

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn

from qweft import QwthnConfig
from qweft.adapter import few_tokens, layer
from qweft.circuit import crz_ring_ansatz, gate_by_gate
from qweft.circuit.alternating import alternating_form
from qweft.circuit.cpu import compiled

CORES = ["identity", "linear", "quantum", "quantum_linear", "quantum_weighted", "quantum_gated", "frozen_linear"]
pytestmark = pytest.mark.skipif(not compiled.available(), reason="Numba cannot compile here")


class OneLayer(nn.Module):
    """A model of one linear layer."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out)
        self.config = {}

    def forward(self, x):
        return self.layer(x)


def adapted(core, r=3, d_in=24, d_out=40, dtype=torch.float32, **fields):
    torch.manual_seed(0)
    circuit = {} if core in ("identity", "linear") else {"circuit_layers": 2}
    config = QwthnConfig(
        r=r, core=core, compress="dense", expand="dense", init_weights=False, target_modules=["layer"],
        **(circuit | fields),
    )  # fmt: skip
    return get_peft_model(OneLayer(d_in, d_out).to(dtype), config).eval()


@pytest.fixture
def taken(monkeypatch):
    """Whether each call of a branch took the compiled call."""
    found = []

    def spy(*arguments):
        result = few_tokens.add_to_few(*arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(layer, "add_to_few", spy)
    return found


def ordinary(model, x):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "add_to_few", lambda *arguments: None)
        return model(x)


@torch.no_grad()
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("r", "d_in", "d_out"), [(1, 24, 40), (3, 7, 33), (4, 64, 16), (6, 33, 15)])
def test_equals_the_same_in_float64(core, r, d_in, d_out, taken):
    model = adapted(core, r, d_in, d_out)
    exact = adapted(core, r, d_in, d_out).double()
    exact.load_state_dict(model.state_dict())
    for rows in (1, 2, 17):
        x = torch.randn(rows, 1, d_in)
        wanted = exact(x.double())
        taken.clear()
        torch.testing.assert_close(model(x).double(), wanted, rtol=1e-5, atol=2e-5)
        assert taken == [True]


@torch.no_grad()
def test_two_adapters_and_a_scale(taken):
    model = adapted("quantum_linear")
    model.add_adapter(
        "other", QwthnConfig(r=2, core="quantum", circuit_layers=1, init_weights=False, target_modules=["layer"])
    )
    model.base_model.set_adapter(["default", "other"])
    model.base_model.model.layer.scaling["other"] = 0.3
    x = torch.randn(2, 1, 24)
    found = model(x)
    assert taken == [True, True]
    torch.testing.assert_close(found, ordinary(model, x), rtol=1e-5, atol=1e-5)


def refused():
    """What must go the ordinary way: a name, and a model, an input and a context for it."""
    yield "many tokens", "quantum_linear", lambda: torch.randn(20000, 1, 24), torch.no_grad
    yield "a gradient", "quantum_linear", lambda: torch.randn(1, 1, 24), torch.enable_grad
    yield "two tokens a row", "identity", lambda: torch.randn(1, 2, 24), torch.no_grad
    yield "gradients are on", "identity", lambda: torch.randn(1, 1, 24), torch.enable_grad
    yield "a gradient of the input", "identity", lambda: torch.randn(1, 1, 24, requires_grad=True), torch.no_grad
    yield "strides", "quantum_linear", lambda: torch.randn(1, 24, 2).permute(2, 0, 1), torch.no_grad
    yield "autocast", "quantum_linear", lambda: torch.randn(1, 1, 24), lambda: torch.autocast("cpu", torch.bfloat16)
    yield "a classical control", "mlp_linear", lambda: torch.randn(1, 1, 24), torch.no_grad


@pytest.mark.parametrize("case", refused(), ids=lambda case: case[0])
def test_goes_the_ordinary_way(case, taken):
    _, core, x, context = case
    model = adapted(core)
    if case[0] == "autocast":
        model.requires_grad_(False)
    with context():
        model(x())
    assert taken == [False]


@torch.no_grad()
def test_a_circuit_that_is_watched_or_measured_goes_the_ordinary_way(taken):
    model = adapted("quantum_linear")
    core = model.base_model.model.layer.qwthn_core["default"]
    x, seen = torch.randn(1, 1, 24), []
    model(x)
    core.observed_by = seen.append
    model(x)
    core.observed_by, core.measured_by = None, lambda circuit, c, angles: torch.zeros(1, 1, 3)
    model(x)
    assert taken == [True, False, False] and len(seen) == 1


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        lambda y: y[-1:].contiguous(),
        lambda y: y[..., :20].contiguous(),
        lambda y: y.reshape(-1),
        lambda y: y[0, 0, 0],
    ],
    ids=["fewer tokens", "fewer entries", "flat", "a number"],
)
def test_an_output_of_another_size_is_not_read_beyond_its_end(taken, change):
    model = adapted("linear")
    model.base_model.model.layer.base_layer.register_forward_hook(lambda *call: change(call[2]))
    with pytest.raises((RuntimeError, IndexError)):  # the ordinary way refuses it
        model(torch.randn(5, 1, 24))
    assert taken == [False]


@torch.no_grad()
@pytest.mark.parametrize("qubits", range(1, 11))
def test_the_circuit_of_one_token(qubits):
    from qweft.circuit.cpu.token_kernel import find_values
    from qweft.circuit.cpu.vector import LANES

    circuit = crz_ring_ansatz(qubits, 3)
    generator = torch.Generator().manual_seed(qubits)
    x = torch.randn(1, qubits, dtype=torch.float64, generator=generator)
    angles = torch.randn(circuit.parameters, dtype=torch.float64, generator=generator) * 2
    form = alternating_form(circuit)
    rotations, diagonals = (found.float() for found in form.angles(angles))
    size = max(2**qubits, LANES)
    half = (x[0] * form.repeats / 2).float()
    inputs = torch.cat([half.cos(), half.sin()]).numpy()
    values, state, turns = (np.empty(count, np.float32) for count in (qubits, 2 * size, 2 * qubits))
    tables = compiled.table_of(rotations, 0.5), *few_tokens.by_lanes(diagonals)
    find_values(values, qubits, np.array(form.uploads), *tables, inputs, state, turns)
    torch.testing.assert_close(
        torch.from_numpy(values)[None].double(), gate_by_gate(circuit, x, angles), rtol=0, atol=5e-6
    )
