"""What `qweft.method` says without PyTorch and PEFT is what their classes say."""

import dataclasses
import re
from datetime import date

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

import qweft.adapter  # noqa: F401  registers the method
from qweft.adapter.attach import adapter_config
from qweft.adapter.functions import FUNCTIONS, CircuitFunction
from qweft.adapter.maps import MAPS
from qweft.core.errors import QweftError
from qweft.method import names, peft_methods
from qweft.method.specification import check_specification

CLASSES = {str(method.value): config_class for method, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def arguments(config_class):
    return tuple(field.name for field in dataclasses.fields(config_class) if field.init)


def test_maps_have_the_names_and_the_training_of_their_classes():
    trained = {
        name: "nothing" if kind.is_fixed() else "partly" if kind.fixed_tensors else "whole"
        for name, kind in MAPS.items()
    }
    assert trained == names.EXPAND
    assert {name: trained[name] for name in names.COMPRESS} == names.COMPRESS


def test_functions_have_the_names_and_circuits_of_their_classes():
    assert tuple(names.FUNCTIONS) == tuple(FUNCTIONS)
    assert tuple(name for name, kind in FUNCTIONS.items() if issubclass(kind, CircuitFunction)) == names.CIRCUITS


def test_methods_of_peft_and_their_fields_are_those_that_it_registers():
    assert peft_methods.methods() == tuple(sorted(CLASSES))
    assert peft_methods.common_fields() == arguments(peft.PeftConfig)
    for method in CLASSES.keys() - {"QWTHN"}:
        assert peft_methods.config_name(method) == CLASSES[method].__name__
        assert peft_methods.fields_of(method) == arguments(CLASSES[method]), method


@pytest.mark.parametrize(
    "specification",
    [
        {"preset": "qtha", "r": 8},
        {"preset": None, "peft_type": "lora", "r": 8},
        {"preset": "qtha", "r": 8, "task_type": "CAUSAL_LM", "revision": "main"},
        {"peft_type": "QWTHN", "core": "linear"},
    ],
)
def test_a_specification_that_passes_makes_a_config(specification):
    check_specification(specification)
    assert adapter_config(specification).r == 8


@pytest.mark.parametrize(
    "specification",
    [
        {"peft_type": "QWTHN", "core": "lineal"},
        {"peft_type": "lora", "r": 0},
        {"peft_type": "LORA", "lora_alpha": "much"},
        {"peft_type": "ADALORA", "init_rr": 3},
        {"preset": "qtha", "share": float("nan")},
        {"preset": "qtha", "revision": date(2024, 1, 1)},
        {"peft_type": "LORA", "rank_pattern": {"(q_proj": 2}},
        {"peft_type": "LORA", "layers_to_transform": ["a"]},
    ],
)
def test_a_specification_is_refused_with_and_without_peft(specification):
    with pytest.raises(QweftError) as light:
        check_specification(specification)
    with pytest.raises(QweftError, match=f"^{re.escape(str(light.value))}$"):
        adapter_config(specification)
