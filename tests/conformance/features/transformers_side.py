"""Adapters by transformers' own calls, and adapter folders in `from_pretrained`."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from tests.conformance.case import Case, NotApplicable
from tests.conformance.features.registry import feature


def of_transformers(case: Case) -> PreTrainedModel:
    """The base model, if it has transformers' calls."""
    model = case.base()
    if not isinstance(model, PreTrainedModel):
        raise NotApplicable("it is no model of transformers")
    return model


def with_adapter(case: Case, name: str, seed: int) -> PreTrainedModel:
    """The base model with an adapter put on by transformers."""
    model = of_transformers(case)
    torch.manual_seed(seed)
    model.add_adapter(case.config(init_weights=False), name)
    return model.eval()


@feature("`model.add_adapter`, `set_adapter`, `disable_adapters`, `enable_adapters`")
def set_adapter(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    first = case.output(model)
    assert torch.equal(first, case.output(case.adapted("a", seed=1)))
    torch.manual_seed(2)
    model.add_adapter(case.config(init_weights=False, r=2), "ab")
    assert model.active_adapters() == ["ab"]
    second = case.output(model)
    assert not torch.equal(first, second)
    model.set_adapter("a")
    assert torch.equal(case.output(model), first)
    model.disable_adapters()
    assert torch.equal(case.output(model), case.output(case.base()))
    model.enable_adapters()
    model.set_adapter("ab")
    assert torch.equal(case.output(model), second)


@feature("`model.save_pretrained` and `load_adapter`")
def save_and_load(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    model.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    torch.manual_seed(9)
    again = of_transformers(case)
    again.load_adapter(str(folder), "b")
    assert torch.equal(case.output(again), case.output(model))
