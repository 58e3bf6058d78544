"""Regular expressions of a config are matched in bounded time, and mean what they mean in PEFT."""

import time

import pytest
import torch
from peft import (
    FourierFTConfig,
    LoraConfig,
    PeftModel,
    get_peft_model,
)

from qweft import QwthnConfig
from qweft.adapter.attach import attach
from qweft.errors import QweftError
from tests.adapter.test_method import logits, small
from tests.tiny_models import tiny_llama


@pytest.mark.parametrize("modes", [{"64": [10**39] * 20_000}, {"64": [2] * 65}, {"9" * 5000: [2]}, {"64": [2**17]}])
def test_modes_whose_product_takes_long_are_refused_before_it_is_formed(modes):
    begun = time.monotonic()
    with pytest.raises(QweftError, match="modes are at most 64 factors of at most 65,536, got"):
        QwthnConfig(modes=modes)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("field", ["alpha_pattern", "rank_pattern"])
def test_patterns_whose_order_a_file_would_lose_are_refused(tmp_path, field):
    """PEFT takes the first that matches, and writes them in alphabetical order."""
    overlapping = {"v_proj": 4, "layers.0.self_attn.v_proj": 3}
    config = small("qtha", **{field: overlapping})
    with pytest.raises(QweftError, match=rf"{field}: .*v_proj matches 'v_proj' and 'layers.0.* So 4 would become 3"):
        get_peft_model(tiny_llama(), config)
    with pytest.raises(QweftError, match="let each layer match one"):
        attach(tiny_llama(), LoraConfig(r=2, target_modules=["v_proj"], **{field: overlapping}))
    frequencies = FourierFTConfig(target_modules=["v_proj"], n_frequency=5, n_frequency_pattern=overlapping)
    with pytest.raises(QweftError, match="n_frequency_pattern: "):
        attach(tiny_llama(), frequencies)
    sorted_ones = small("qtha", init_weights=False, **{field: dict(sorted(overlapping.items()))})
    model = get_peft_model(tiny_llama(), sorted_ones).eval()
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_llama(), tmp_path).eval()), logits(model))
