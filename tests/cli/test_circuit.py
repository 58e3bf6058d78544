"""`qweft circuit`: one layer's circuit of a trained adapter."""

import json
import re

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from qweft.circuit import crz_ring_ansatz, gate_by_gate, unentangled
from qweft.cli.main import main
from qweft.inspect.circuit_view.config import ANGLES, angle_keys
from tests.evaluation.noise.test_noise import HYBRID, trained

LAYER = "model.layers.1.self_attn.v_proj"
TEXT = "What follows 7?"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("tiny"), HYBRID | {"rank_pattern": {"v_proj": 3}, "circuit_layers": 2})


@pytest.fixture(scope="module")
def adapter_with(tmp_path_factory):
    """Adapters of other cores, each made once."""
    folders = {}

    def make(core):
        if core not in folders:
            folders[core] = trained(tmp_path_factory.mktemp(core), HYBRID | {"core": core})
        return folders[core]

    return make


def shown(capsys, adapter, *options):
    capsys.readouterr()  # what training said
    assert main(["circuit", str(adapter), *options]) == 0
    return capsys.readouterr().out


def read(capsys, adapter, *options):
    return json.loads(shown(capsys, adapter, *options, "--json"))


def refused(capsys, adapter, *options):
    capsys.readouterr()
    assert main(["circuit", str(adapter), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def angles_in_file(adapter, layer=LAYER):
    return load_file(adapter / "adapter_model.safetensors")[f"base_model.model.{layer}.qwthn_core.angles"]


def test_it_needs_no_base_model(adapter, capsys, monkeypatch):
    monkeypatch.setattr("qweft.inspect.circuit_view.run.model_of", None)
    monkeypatch.setattr("qweft.inspect.circuit_view.run.load_model", None)
    view = read(capsys, adapter, "--layer", LAYER)
    assert view["layer"] == LAYER and view["core"] == "quantum_linear"
    assert view["circuit"]["qubits"] == 3 and view["circuit"]["layers"] == 2
    assert torch.equal(torch.tensor(view["angles"], dtype=torch.float64), angles_in_file(adapter).double())
    gates = [tuple(gate.values()) for gate in view["circuit"]["gates"]]
    assert gates == [(g.name, list(g.wires), g.source, g.index, g.scale) for g in crz_ring_ansatz(3, 2).gates]
    assert view["written"]["gates"] == {"ry": 18, "crz": 12} and view["compiled"] is None


@pytest.mark.parametrize("name", ["layers.1.self_attn.v_proj", "1.self_attn.v_proj", "*.1.*.v_proj", LAYER])
def test_ways_to_name_a_layer(adapter, capsys, name):
    assert read(capsys, adapter, "--layer", name)["layer"] == LAYER


def test_what_is_shown(adapter, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    out = shown(capsys, adapter, "--layer", LAYER, "--chip", "line")
    assert "3 qubits, 2 layers, 24 trained angles" in out
    assert "2 times, each time with the next 12 angles t" in out
    assert all(len(line.rstrip()) <= 100 for line in out.splitlines())
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d{4}", out)]
    assert numbers == [round(value, 4) for value in angles_in_file(adapter).double().tolist()]
    assert "optimisation level 3, seed 0" in out and "inputs left open" in out


def by_another_way(adapter, layer):
    """c and q of the text's tokens from the layer's own input and the adapter's tensors, in float64."""
    base = adapter.parent.parent / "model"
    ids = AutoTokenizer.from_pretrained(base)(TEXT, return_tensors="pt").input_ids
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
    module = model.get_base_model().get_submodule(layer)
    seen = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    with torch.no_grad():
        model(input_ids=ids)
        branch = module.branch_of("default")
        compress = branch.build([tensor.double() for tensor in branch.tensors()])[0]
    c = seen[0][0].double() @ compress.T
    q = gate_by_gate(branch.core.circuit, c, branch.core.angles.double())
    return ids[0].tolist(), c, q


@pytest.mark.parametrize("layer", [LAYER, "model.layers.0.self_attn.q_proj"])
def test_tokens_by_an_independent_route(adapter, capsys, layer):
    view = read(capsys, adapter, "--layer", layer, "--tokens", TEXT)
    ids, c, q = by_another_way(adapter, layer)
    assert [token["id"] for token in view["tokens"]] == ids
    assert [token["place"] for token in view["tokens"]] == list(range(len(ids)))
    assert "".join(token["text"] for token in view["tokens"]).replace(" ", "") == TEXT.replace(" ", "")
    values = {name: torch.tensor([token[name] for token in view["tokens"]], dtype=torch.float64) for name in ("c", "q")}
    torch.testing.assert_close(values["c"], c.detach(), rtol=1e-6, atol=1e-6)  # the layer's own c is float32
    torch.testing.assert_close(values["q"], q.detach(), rtol=0, atol=5e-6)
    angles = angles_in_file(adapter, layer).double()
    of_these = gate_by_gate(crz_ring_ansatz(c.shape[1], 2), values["c"], angles)
    torch.testing.assert_close(values["q"], of_these, rtol=0, atol=1e-10)
    assert c.std() > 0.01 and q.std() > 1e-5  # no two tokens of zeros


@pytest.mark.parametrize("core", ["frozen_linear", "product", "quantum_weighted"])
def test_twins_that_are_circuits(adapter_with, capsys, core):
    layer = "model.layers.0.self_attn.q_proj"
    view = read(capsys, adapter_with(core), "--layer", layer, "--tokens", TEXT)
    circuit = crz_ring_ansatz(2, 2)
    circuit = unentangled(circuit)[0] if core == "product" else circuit
    assert len(view["circuit"]["gates"]) == len(circuit.gates)
    assert view["angles_trained"] == (core != "frozen_linear")
    _, _, q = by_another_way(adapter_with(core), layer)
    values = torch.tensor([token["q"] for token in view["tokens"]], dtype=torch.float64)
    torch.testing.assert_close(values, q.detach(), rtol=0, atol=5e-6)


@pytest.mark.parametrize("core", ["mlp_linear", "fourier_linear", "linear"])
def test_cores_without_circuit(adapter_with, capsys, core):
    assert f"core {core} (" in refused(capsys, adapter_with(core), "--layer", "x")


def test_exports_read_back(adapter, capsys, tmp_path):
    qasm2 = pytest.importorskip("qiskit.qasm2")
    from qiskit.quantum_info import Statevector

    token = ["--tokens", TEXT, "--token", "2"]
    file = tmp_path / "new" / "x.qasm"
    view = read(capsys, adapter, "--layer", LAYER, *token, "--export", "qasm2", "--output", str(file))
    assert view["files"] == [str(file)]
    state = Statevector(qasm2.load(file).remove_final_measurements(inplace=False))
    probabilities = [state.probabilities([qubit]) for qubit in range(3)]
    assert [p[0] - p[1] for p in probabilities] == pytest.approx(view["tokens"][0]["q"], abs=1e-6)
    open_file = tmp_path / "x.qasm3"
    shown(capsys, adapter, "--layer", LAYER, "--export", "qasm3", "--output", str(open_file))
    text = open_file.read_text()
    assert text.count("input float[64]") == 3 and "ry(c0) q[0];" in text
    shown(capsys, adapter, "--layer", LAYER, *token, "--export", "originir", "--output", str(tmp_path / "x.ir"))
    assert (tmp_path / "x.ir").read_text().count("CONTROL q") == 12


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89")]
)
def test_pictures(adapter, capsys, tmp_path, ending, start):
    file = tmp_path / f"circuit.{ending}"
    assert f"written: {file}"[:40] in shown(capsys, adapter, "--layer", LAYER, "--picture", str(file)).replace("\n", "")
    assert file.read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_layers_are_in_the_order_of_their_numbers(adapter, monkeypatch):
    keys = [f"base_model.model.{name}{ANGLES}" for name in ("h.10.q", "h.2.v", "h.2.q")]
    monkeypatch.setattr("qweft.inspect.circuit_view.config.shapes_in", lambda _: keys)
    assert list(angle_keys(adapter)) == ["h.2.q", "h.2.v", "h.10.q"]


def test_without_a_layer_the_first_one_is_shown(capsys, adapter):
    out = " ".join(shown(capsys, adapter).split())
    assert out.startswith("model.layers.0.self_attn.q_proj: ")
    others = f"model.layers.0.self_attn.v_proj, model.layers.1.self_attn.q_proj, {LAYER}"
    assert f"the first layer with a circuit; choose another with --layer: {others}" in out
    assert "choose another" not in shown(capsys, adapter, "--layer", LAYER)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layer", "q_proj"], "meets 2 layers with a circuit"),
        (["--layer", "k_projection"], "meets 0 layers"),
        (["--layer", LAYER, "--tokens", TEXT, "--token", "99"], "--token 99"),
        (["--layer", LAYER, "--tokens", ""], "no token"),
        (["--layer", LAYER, "--tokens", "a " * 200], "takes 64"),
        (["--layer", LAYER, "--export", "qasm3"], "--output FILE"),
        (["--layer", LAYER, "--output", "x"], "--export"),
        (["--layer", LAYER, "--export", "qasm2", "--output", "x"], "OpenQASM 2 has no parameters"),
        (["--layer", LAYER, "--picture", "x.gif"], ".svg"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(adapter, capsys, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, adapter, *options)
    assert not list(tmp_path.iterdir())


def test_folders_without_an_adapter_or_of_another_one(adapter, capsys, tmp_path):
    assert "no adapter_config.json in it" in refused(capsys, tmp_path, "--layer", LAYER)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((adapter / name).read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text()) | {"circuit_layers": 3}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    words = "(24,), and the circuit of its adapter_config.json has 36"
    assert words in refused(capsys, tmp_path, "--layer", LAYER)
