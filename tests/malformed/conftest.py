"""What the malformed inputs are held against."""

import pytest

from tests.tiny_folder import save_rows, save_tiny_model


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A model and rows, as the sections of a config name them."""
    root = tmp_path_factory.mktemp("malformed")
    return save_tiny_model(root / "model"), save_rows(root / "rows.jsonl")
