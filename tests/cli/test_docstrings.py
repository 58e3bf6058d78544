import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["cli.parser", "core.schema", "core.yaml_file"])
def test_examples_in_docstrings_hold(name):
    results = doctest.testmod(importlib.import_module(f"qweft.{name}"))
    assert results.attempted
    assert not results.failed
