"""The Python, YAML and JSON of the README and the documentation: run, or read by what reads it in earnest."""

import ast
import re
from types import SimpleNamespace

import pytest
import torch
import yaml

from qweft.adapter.attach import adapter_config
from qweft.circuit import crz_ring_ansatz
from qweft.cli.parser import parse
from qweft.comparison.checks import check_comparison
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.search.configurations import check_sizes
from qweft.comparison.search.space import TuneConfig
from qweft.devices import BoundCircuits
from qweft.devices.noise.model import noise_model
from qweft.evaluation.checks import check_evaluation
from qweft.training.checks import check_run
from qweft.training.config import RunConfig
from tests.docs.blocks import BLOCKS, ROOT
from tests.tiny_models import tiny_llama


def bound():
    """What pages take for granted: a circuit of two qubits with inputs and angles, and a base model."""
    circuit = crz_ring_ansatz(2, 1)
    inputs = torch.linspace(-1, 1, 4, dtype=torch.float64).reshape(2, 2)
    angles = torch.linspace(-3, 3, circuit.parameters, dtype=torch.float64)
    return {
        "circuit": circuit, "inputs": inputs, "angles": angles, "circuits": BoundCircuits.of(circuit, inputs, angles),
        "base": tiny_llama(),
    }  # fmt: skip


def run(code, names):
    """Run a block, and return what its last line is worth."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "documentation", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "documentation", "eval"), names)


@pytest.fixture
def around(tmp_path, monkeypatch):
    """An empty folder to work in, and a tiny model in the place of the embedded one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("qweft.models.load.load_model", lambda config: SimpleNamespace(model=tiny_llama()))
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda name: tiny_llama())
    return tmp_path


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.kind == "python"}))
def test_the_python_of_a_page_runs_in_its_order(around, page):
    names = bound()
    for block in (block for block in BLOCKS if block.page == page and block.kind == "python"):
        assert block.not_run is None, block.where
        value = run(block.code, names)
        said = re.search(r"# (tensor\()?(\[.*?\])", block.code)
        if said and not isinstance(value, str) and "in one run" not in block.code:
            numbers = [float(each) for each in re.findall(r"-?\d+\.\d+", said[2])]
            assert numbers == pytest.approx([float(each) for each in value], abs=6e-5), block.where


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "yaml"], ids=lambda block: block.where)
def test_yaml_is_read_by_what_reads_it(tmp_path, block):
    (tmp_path / "block.yaml").write_text(block.code)
    file, holds = str(tmp_path / "block.yaml"), yaml.safe_load(block.code)
    if "space" in holds:
        check_sizes(parse(TuneConfig, [file]))
    elif "methods" in holds:
        config = parse(ComparisonConfig, [file])
        check_comparison(config)
        for method in config.methods.values():
            adapter_config(method.adapter)
    elif "one_qubit" in holds:
        noise_model(file)
    else:
        config = parse(RunConfig, [file])
        check_run(config)
        check_evaluation(config.evaluation, config.data)
        adapter_config(config.adapter)


def test_the_config_of_the_tutorial_is_the_file():
    (block,) = (block for block in BLOCKS if block.page == "docs/tutorial.md" and block.kind == "yaml")
    assert yaml.safe_load(block.code) == yaml.safe_load((ROOT / "configs" / "chat.yaml").read_text())
