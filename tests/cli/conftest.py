import sys
import types

import pytest

RUN = """\
training:
  learning_rate: 5e-4
  batch_size: 2
adapter: {preset: qtha, r: 6, alpha: 1e1}
"""

COMPARISON = """\
methods:
  lora: {adapter: {peft_type: LORA, r: 8}}
  qtha: {adapter: {preset: qtha, r: 6}, learning_rate: 1e-2, match_parameters: lora}
seeds: [0, 1]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a YAML file into a fresh working folder and return its name."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="x.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


@pytest.fixture
def run_file(write):
    return write(RUN, "run.yaml")


@pytest.fixture
def comparison_file(write):
    return write(COMPARISON, "comparison.yaml")


@pytest.fixture
def fake(monkeypatch):
    """Stand in for a library module: commands are tested without the libraries that they call."""

    def fake(module, **functions):
        stand_in = types.ModuleType(module)
        vars(stand_in).update(functions)
        monkeypatch.setitem(sys.modules, module, stand_in)

    return fake
