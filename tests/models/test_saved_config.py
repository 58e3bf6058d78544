"""A config.json chooses no code of the hub."""

import json

import pytest

from qweft.core.errors import QweftError
from qweft.models.config import ModelConfig, allow_remote_code
from qweft.models.load import load_model
from qweft.models.resolve import resolve
from qweft.models.saved_config import check_config
from tests.tiny_folder import save_tiny_model

KERNELS = [
    {"_attn_implementation": "owner/kernel"},
    {"text_config": {"_attn_implementation": {"": "sdpa", "vision_config": "owner/kernel"}}},
    {"_experts_implementation": "owner/kernel"},
]


@pytest.fixture(params=KERNELS)
def model(request, tmp_path):
    """A tiny model whose config names a kernel of the hub."""
    config = ModelConfig(save_tiny_model(tmp_path / "model"), device="cpu")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | request.param))
    return config


def test_a_config_chooses_no_code_of_the_hub(model):
    with pytest.raises(QweftError, match=r"code of the hub that would run .*--trust-remote-code"):
        load_model(model)


def test_code_of_the_hub_may_be_allowed(model):
    allow_remote_code()
    try:
        check_config(resolve(model))
    finally:
        allow_remote_code(False)
