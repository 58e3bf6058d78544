"""What the tests of whole comparisons share."""

import pytest

from tests.tiny_folder import save_rows, save_tiny_model


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A model's folder and a file of rows."""
    folder = tmp_path_factory.mktemp("tiny")
    return save_tiny_model(folder / "model"), save_rows(folder / "rows.jsonl")
