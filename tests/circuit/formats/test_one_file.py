"""A circuit format is one file, and its name in the list: it is offered, checked and written by `qweft circuit`."""

import subprocess
import sys

import pytest
from safetensors.torch import load_file

from tests.evaluation.noise.test_noise import HYBRID, trained

TOY = """
from qweft.circuit.formats.common import Format, text_of, texts_of_gates


def _write(circuit, inputs=None, parameters=None, measured=True, about=""):
    return text_of(circuit, about, [f"{g.name} {a}" for g, a in texts_of_gates(circuit, inputs, parameters)])


OPEN = Format(_write, "toy", can_stay_open=True)
CLOSED = Format(_write, "shut")
"""
RUN = """
import importlib
import sys
import qweft.circuit.formats as folder

folder.__path__.append(sys.argv.pop(1))
toy = importlib.import_module("qweft.circuit.formats.toy")
folder.FORMATS.update({"toy": toy.OPEN, "shut": toy.CLOSED})
from qweft.cli.main import main

sys.exit(main(sys.argv[1:]))
"""
LAYER = "model.layers.1.self_attn.v_proj"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(TOY)
    return trained(folder, HYBRID)


@pytest.fixture
def circuit(adapter):
    def run(*options):
        folder = adapter.parent.parent
        command = [sys.executable, "-c", RUN, str(folder), "circuit", str(adapter), "--layer", LAYER, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return run


def test_it_is_written_with_open_inputs(adapter, circuit, tmp_path):
    file = tmp_path / "layer.toy"
    found = circuit("--export", "toy", "--output", str(file))
    assert found.returncode == 0, found.stderr
    comments = [line for line in file.read_text().splitlines() if line.startswith("//")]
    gates = file.read_text().splitlines()[len(comments) :]
    assert LAYER in comments[-1] and gates[0] == "ry c0"
    trained = load_file(adapter / "adapter_model.safetensors")[f"base_model.model.{LAYER}.qwthn_core.angles"]
    written = [float(angle) for _, angle in map(str.split, gates) if not angle.startswith("c")]
    assert sorted(written) == sorted(trained.double().tolist())


def test_it_is_offered_and_checked(circuit):
    assert "qasm3, qasm2, originir, toy, shut" in circuit("--export", "toi", "--output", "x").stderr
    assert "give --output FILE.toy" in circuit("--export", "toy").stderr
    assert "or --export qasm3 or toy" in circuit("--export", "shut", "--output", "x").stderr
