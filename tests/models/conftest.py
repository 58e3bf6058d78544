"""The base model of the tests of quantization."""

import pytest

from tests.models.quantized_base import save_base


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))
