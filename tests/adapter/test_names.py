"""What `qweft.method` says without PyTorch and PEFT is what their classes say."""

import dataclasses

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

import qweft.adapter  # noqa: F401  registers the method
from qweft.adapter import fixed_maps
from qweft.adapter.functions import FUNCTIONS
from qweft.adapter.functions.circuits import CircuitFunction
from qweft.method import names, peft_methods

CLASSES = {str(method.value): config_class for method, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def arguments(config_class):
    return tuple(field.name for field in dataclasses.fields(config_class) if field.init)


@pytest.mark.parametrize("side", ["COMPRESS", "EXPAND"])
def test_maps_have_the_names_and_the_training_of_their_classes(side):
    said = {
        name: "nothing" if kind.is_fixed() else "partly" if kind.fixed_tensors else "whole"
        for name, kind in getattr(fixed_maps, side).items()
    }
    assert getattr(names, side) == said


def test_functions_have_the_names_and_circuits_of_their_classes():
    assert tuple(names.FUNCTIONS) == tuple(FUNCTIONS)
    assert tuple(name for name, kind in FUNCTIONS.items() if issubclass(kind, CircuitFunction)) == names.CIRCUITS


def test_methods_of_peft_are_those_that_it_registers():
    assert peft_methods.methods() == tuple(sorted(CLASSES))
    assert peft_methods.common_fields() == arguments(peft.PeftConfig)


@pytest.mark.parametrize("method", sorted(CLASSES.keys() - {"QWTHN"}))
def test_fields_of_a_method_are_those_of_its_config(method):
    assert peft_methods.config_name(method) == CLASSES[method].__name__
    assert peft_methods.fields_of(method) == arguments(CLASSES[method])


def test_a_peft_without_the_expected_source_is_not_judged(monkeypatch):
    monkeypatch.setattr(peft_methods, "_tree", lambda module: None)
    assert peft_methods.methods() == ()
    assert peft_methods.config_name("LORA") is None
    assert peft_methods.fields_of.__wrapped__("LORA") is peft_methods.common_fields.__wrapped__() is None
