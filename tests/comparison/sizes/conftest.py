"""A search over the sizes of an adapter on a tiny model."""

import dataclasses

import pytest

pytest.importorskip("optuna")

from qweft.comparison.config import MethodConfig
from qweft.comparison.search.configurations import adapter_space
from qweft.comparison.search.propose import SizeCounter
from qweft.comparison.search.space import TuneConfig
from qweft.comparison.timing import budget_of
from qweft.core.reader import Reader, build
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.comparison.comparison_examples import comparison

ADAPTER = {"preset": "qtha", "target_modules": ["q_proj", "v_proj"]}
SPACE = {
    "r": {"values": [2, 3]},
    "bond_dimension": {"low": 1, "high": 4},
    "width": {"values": [8, 16]},
    "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
}


def with_space(config, adapter=None, **axes):
    """The search with another space, as a file holds it, and perhaps of another adapter."""
    tree = {"methods": {}, "space": axes}
    space = build(TuneConfig, Reader(TuneConfig, "x").check(TuneConfig, tree, ""), "x").space
    changed = dataclasses.replace(config, space=space)
    return changed if adapter is None else dataclasses.replace(changed, methods={"it": MethodConfig(adapter)})


@pytest.fixture
def config(places, tmp_path):
    shared = comparison(places, tmp_path, training={"max_steps": 2}, methods={"qtha": ADAPTER}, seeds=[0])
    sections = {field.name: getattr(shared, field.name) for field in dataclasses.fields(shared)}
    return with_space(TuneConfig(**sections, trials=5, at_once=2), **SPACE)


@pytest.fixture
def counter_of(config):
    """Makes the counter of a search, on the shapes of the tiny model."""
    model = load_model(ModelConfig(name=config.model.name, device="meta")).model
    return lambda config: SizeCounter(adapter_space(config), model, budget_of(config.budget).parameters)
