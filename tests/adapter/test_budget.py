"""A config by a number of trained parameters, against what the adapter trains."""

import re

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model

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
    with pytest.raises(
        QweftError, match=r"a budget of 1 trained .* below the \d+ that one output of each of the \d+ layers"
    ):
        QwthnConfig.for_budget(make(), 1, **changes)
    least = trained(make(), QwthnConfig.preset("sparse", **sparse, share=1e-9))
    with pytest.raises(QweftError, match=r"take the preset subspace with r 1 and width \d+") as error:
        QwthnConfig.for_budget(make(), least - 1, **changes)
    narrow = {key: value for key, value in sparse.items() if key not in ("r", "width")}
    width = int(re.search(r"width (\d+)", str(error.value)).group(1))
    assert trained(make(), QwthnConfig.preset("subspace", r=1, width=width, **narrow)) < least
    for share in (1e-9, 0.03, 0.1, 0.17, 0.25, 0.31):
        numbers = trained(make(), QwthnConfig.preset("sparse", **sparse, share=share))
        assert trained(make(), QwthnConfig.for_budget(make(), numbers, **changes)) == numbers
        assert trained(make(), QwthnConfig.for_budget(make(), numbers + 1, **changes)) in (numbers, numbers + 1)
    with pytest.warns(UserWarning, match=f"at share 0.32 sparse has {whole:,} here, the most; give for_budget"):
        full = QwthnConfig.for_budget(make(), 10 * whole, **changes)
    assert full.share == 0.32 and trained(make(), full) == whole


@pytest.mark.parametrize("changes", [
    {"rank_pattern": {"q_proj": 8}}, {"modules_to_save": ["lm_head"]}, {"trainable_token_indices": [1]},
    {"bias": "all"},
    {"expand": "dense"}, {"task_type": "SEQ_CLS"}, {"target_modules": None},
])  # fmt: skip
def test_what_trains_more_than_the_maps_is_refused(changes):
    name = next(iter(changes))
    with pytest.raises(QweftError, match=f"counts sparse maps alone, and {name} changes what is trained; leave it out"):
        QwthnConfig.for_budget(tiny_llama(), 10_000, **changes)
    QwthnConfig.for_budget(tiny_llama(), 10_000, task_type="CAUSAL_LM")


def test_a_budget_is_a_whole_number_for_layers_that_are_there():
    for numbers in (1e4, "10k", True, None):
        with pytest.raises(QweftError, match=r"the budget is a whole number of trained parameters, got .*; give one"):
            QwthnConfig.for_budget(tiny_llama(), numbers)
    with pytest.raises(QweftError, match="has no linear layer that target_modules name"):
        QwthnConfig.for_budget(tiny_llama(), 10_000, target_modules=["nothing"])
    model = tiny_llama()
    assert QwthnConfig.for_budget(model, np.int64(500)) == QwthnConfig.for_budget(model, 500)


def test_a_budget_is_counted_on_a_loaded_model_without_adapters():
    for name in ("HuggingFaceTB/SmolLM2-135M-Instruct", None):
        with pytest.raises(QweftError, match=r"for_budget counts on a loaded model, got .*; load it with transformers"):
            QwthnConfig.for_budget(name, 500)
    adapted = get_peft_model(tiny_llama(), LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(QweftError, match="counts on a model without adapters, and this one has one; give the base"):
        QwthnConfig.for_budget(adapted, 500)
