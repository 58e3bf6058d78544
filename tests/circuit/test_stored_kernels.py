"""Machine code of kernels is stored between runs, and compiled anew where a called function or a constant changed."""

import importlib.util
import os
import sys

import pytest

pytest.importorskip("numba")

CALLER = """
from pathlib import Path
from called import twice
from qweft.circuit.cpu.vector import stored_by
ADDED = {added}

@stored_by(Path(__file__).with_name("called.py"))
def calling(x):
    return twice(x) + ADDED
"""
CALLED = """
from numba import njit

@njit
def twice(x):
    return {factor} * x
"""


def answer(folder, monkeypatch, factor=2, added=0):
    """Return what a new process would: the kernel's value, and whether its machine code was stored."""
    for name, text in (("called", CALLED.format(factor=factor)), ("caller", CALLER.format(added=added))):
        path = folder / f"{name}.py"
        path.write_text(text)
        os.utime(path, (1e9, 1e9))  # as files of an archive may be: all of one age
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "called", raising=False)
    description = importlib.util.spec_from_file_location("caller", folder / "caller.py")
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module.calling(3), sum(module.calling.stats.cache_hits.values())


def test_stored_code_is_used_until_a_called_function_or_a_constant_changes(tmp_path, monkeypatch):
    changes = [{}, {}, {"factor": 5}, {"added": 1}]
    assert [answer(tmp_path, monkeypatch, **change) for change in changes] == [(6, 0), (6, 1), (15, 0), (7, 0)]


def test_all_kernels_are_stored_with_their_sources():
    from qweft.adapter import few_kernel
    from qweft.circuit.cpu import kernels, token_kernel

    values = [each for module in (kernels, token_kernel, few_kernel) for each in vars(module).values()]
    compiled = [each for each in values if hasattr(each, "py_func")]
    assert len(compiled) > 10
    assert all(len(each.py_func.__qualname__.rpartition("_")[2]) == 16 for each in compiled)
