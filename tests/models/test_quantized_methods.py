"""Every method of PEFT that is taken on a quantised base model trains there and comes back."""

import pytest
import torch
from peft import PeftModel

from qweft.adapter.attach import adapter_config, attach
from qweft.core.errors import QweftError
from qweft.method.specification import ON_QUANTIZED, check_on_quantized
from qweft.models.quantization import QUANTIZATIONS
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from tests.comparison.test_peft_methods import COMPARED, rows
from tests.models.quantized_base import load_quantized

pytest.importorskip("bitsandbytes")
METHODS = [name for name, specification in COMPARED.items() if specification["peft_type"] in ON_QUANTIZED]
SETTINGS = {
    "ADALORA": {"total_step": 100, "tinit": 1, "tfinal": 1, "deltaT": 1},
    "TRAINABLE_TOKENS": {"token_indices": [*range(1, 64)]},
}
CHANGE_AT_FIRST = ("FOURIERFT", "C3A", "VBLORA", "WAVEFT")
"""Methods whose first step already differs from the base model."""


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_taken_trains_and_comes_back(base_folder, tmp_path, name, quantization):
    specification = {**COMPARED[name], **SETTINGS.get(name, {})}
    try:
        check_on_quantized(specification, quantization)
    except QweftError:
        pytest.skip("refused in one sentence")
    model = load_quantized(base_folder, quantization).model
    base = logits_of(model)
    torch.manual_seed(0)
    adapted = attach(model, adapter_config(specification)).eval()
    untrained = logits_of(adapted)
    if name not in CHANGE_AT_FIRST:
        assert (untrained - base).norm() < 1e-5 * base.norm()
    training = TrainingConfig(max_steps=3, batch_size=4, gradient_accumulation=1, learning_rate=1e-2)
    fit(adapted, rows(), 0, training)
    trained = logits_of(adapted.eval())
    assert 1e-5 * base.norm() < (trained - untrained).norm() < base.norm()
    adapted.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(load_quantized(base_folder, quantization).model, tmp_path).eval()
    assert torch.equal(logits_of(loaded), trained)


@torch.no_grad()
def logits_of(model):
    """The logits of the first row."""
    ids = torch.tensor([rows()[0]["input_ids"]])
    return model(ids).logits
