"""Adapters of a tiny model, saved without a run: folders as PEFT writes them."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from qweft import QwthnConfig
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.serve.chat import Chat
from qweft.serve.checks import check_chat
from qweft.serve.config import ChatConfig
from qweft.serve.models import open_voices
from tests.export.conftest import trained  # noqa: F401  # a fixture
from tests.tiny_folder import save_tiny_model

TARGETS = ["q_proj", "v_proj"]


def save_adapter(model, folder, config, seed=1):
    """An adapter whose weights are not the zero start, so that it says something else than the base model."""
    torch.manual_seed(seed)
    adapted = get_peft_model(load_model(ModelConfig(model)).model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if weight.requires_grad and "angles" not in name:
                weight.normal_(std=0.5)
    adapted.save_pretrained(folder)
    return folder


def save_talkative_model(folder):
    """One that does not end its answers by itself: a random model may do so at once."""
    save_tiny_model(folder)
    loaded = load_model(ModelConfig(str(folder)))
    with torch.no_grad():
        loaded.model.lm_head.weight[loaded.tokenizer.eos_token_id] = 0
    loaded.model.save_pretrained(folder)
    return str(folder)


def talk(adapter, overrides=None, **options):
    """A chat with an adapter."""
    config = ChatConfig(**options)
    return Chat(open_voices(*check_chat(adapter, config, overrides or {}), config.beside == "base"), config)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_talkative_model(tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture(scope="session")
def hybrid(model, tmp_path_factory):
    config = QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2, target_modules=TARGETS)
    return save_adapter(model, tmp_path_factory.mktemp("chat") / "qtha-0" / "adapter", config)


@pytest.fixture(scope="session")
def lora(model, tmp_path_factory):
    return save_adapter(
        model, tmp_path_factory.mktemp("chat") / "lora-0" / "adapter", LoraConfig(target_modules=TARGETS)
    )
