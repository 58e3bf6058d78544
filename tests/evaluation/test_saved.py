"""An adapter's folder opened again."""

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.tiny_folder import save_tiny_model

from qweft.errors import QweftError
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model


def test_an_adapter_of_another_method_whose_file_lacks_a_tensor_is_refused(tmp_path):
    config = ModelConfig(save_tiny_model(tmp_path / "model"), dtype="float32", device="cpu")
    model = get_peft_model(load_model(config).model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    model.save_pretrained(tmp_path / "adapter")
    put_on(load_model(config), tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({key.replace("lora_A", "lora_a"): tensor for key, tensor in load_file(file).items()}, file)
    with pytest.raises(QweftError, match=r"the adapter does not load on .*Found missing adapter keys"):
        put_on(load_model(config), tmp_path / "adapter")
