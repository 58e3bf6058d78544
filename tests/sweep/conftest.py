"""A sweep on a tiny model, as the tests of this folder have it."""

import pytest

pytest.importorskip("optuna")

from qweft.data.config import DataConfig
from qweft.models.config import ModelConfig
from qweft.sweep.config import SpaceConfig, SweepConfig
from qweft.training.config import TrainingConfig
from tests.tiny_folder import save_rows, save_tiny_model


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    """A model's folder and a file of rows."""
    folder = tmp_path_factory.mktemp("tiny")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")


@pytest.fixture
def config(places, tmp_path):
    return SweepConfig(
        model=ModelConfig(name=places[0]),
        data=DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        training=TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1),
        adapter={"preset": "qtha", "target_modules": ["q_proj", "v_proj"]},
        space=SpaceConfig(
            adapter={"r": {"values": [2, 3]}, "bond_dimension": {"low": 1, "high": 4}, "width": {"values": [8, 16]}},
            training={"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}},
        ),
        trials=5,
        at_once=2,
        output=str(tmp_path / "out"),
    )
