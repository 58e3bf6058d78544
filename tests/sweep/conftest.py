"""A sweep on a tiny model, as the tests of this folder have it."""

import pytest

pytest.importorskip("optuna")

from qweft.core.schema import Reader, build
from qweft.sweep.config import SpaceConfig, SweepConfig
from tests.comparison.comparison_examples import comparison
from tests.tiny_folder import save_rows, save_tiny_model


def space(**sections):
    """The space of a file with these sections."""
    return build(SpaceConfig, Reader(SweepConfig, "x").check(SpaceConfig, sections, "space"), "x")


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    """A model's folder and a file of rows."""
    folder = tmp_path_factory.mktemp("tiny")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")


@pytest.fixture
def config(places, tmp_path):
    shared = comparison(places, tmp_path, training={"max_steps": 2})
    return SweepConfig(
        shared.model,
        shared.data,
        shared.training,
        adapter={"preset": "qtha", "target_modules": ["q_proj", "v_proj"]},
        space=space(
            adapter={"r": {"values": [2, 3]}, "bond_dimension": {"low": 1, "high": 4}, "width": {"values": [8, 16]}},
            training={"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}},
        ),
        trials=5,
        at_once=2,
        output=str(tmp_path / "out"),
    )
