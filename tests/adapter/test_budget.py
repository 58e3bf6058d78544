"""A config by a number of trained parameters, against what the adapter trains."""

import pytest
from peft import get_peft_model

from qweft import QweftError, QwthnConfig
from tests.tiny_models import tiny_gpt2, tiny_llama


def trained(model, config):
    return sum(each.numel() for each in get_peft_model(model, config).parameters() if each.requires_grad)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize(
    "changes",
    [{}, {"width": 4, "r": 2}, {"target_modules": "all-linear", "exclude_modules": ["c_proj", "o_proj"]}],
)
def test_the_adapter_is_the_largest_within_the_budget(make, changes):
    sparse = {"target_modules": "all-linear", **changes}
    whole = trained(make(), QwthnConfig.preset("sparse", **sparse))
    least = trained(make(), QwthnConfig.preset("sparse", **sparse, share=1e-9))
    with pytest.raises(QweftError, match="budget"):
        QwthnConfig.for_budget(make(), least - 1, **changes)
    for share in (1e-9, 0.1, 0.31):
        numbers = trained(make(), QwthnConfig.preset("sparse", **sparse, share=share))
        assert trained(make(), QwthnConfig.for_budget(make(), numbers, **changes)) == numbers
        assert trained(make(), QwthnConfig.for_budget(make(), numbers + 1, **changes)) in (numbers, numbers + 1)
    full = QwthnConfig.for_budget(make(), 10 * whole, **changes)
    assert full.share == 0.32 and trained(make(), full) == whole


@pytest.mark.parametrize("changes", [
    {"rank_pattern": {"q_proj": 8}}, {"modules_to_save": ["lm_head"]}, {"trainable_token_indices": [1]},
    {"bias": "all"},
    {"expand": "dense"}, {"task_type": "SEQ_CLS"}, {"target_modules": None},
])  # fmt: skip
def test_what_trains_more_than_the_maps_is_refused(changes):
    name = next(iter(changes))
    with pytest.raises(QweftError, match=name):
        QwthnConfig.for_budget(tiny_llama(), 10_000, **changes)
    QwthnConfig.for_budget(tiny_llama(), 10_000, task_type="CAUSAL_LM")
