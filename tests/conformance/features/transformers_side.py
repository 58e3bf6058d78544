"""Adapters by transformers' own calls, and adapter folders in `from_pretrained`."""

from pathlib import Path

import pytest
import torch
import transformers
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


@feature("`model.add_adapter`")
def add_adapter(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    assert model.active_adapters() == ["a"]
    assert torch.equal(case.output(model), case.output(case.adapted("a", seed=1)))


@feature("`model.set_adapter`, `disable_adapters`, `enable_adapters`")
def set_adapter(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    first = case.output(model)
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


@feature("`model.delete_adapter`")
def delete_adapter(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    wanted = case.output(model)
    model.add_adapter(case.config(init_weights=False, r=2), "ab")
    model.delete_adapter("ab")
    assert not [key for key in model.state_dict() if ".ab." in key]
    model.set_adapter("a")
    assert torch.equal(case.output(model), wanted)
    with pytest.raises(ValueError, match="ab"):
        model.set_adapter("ab")


@feature("`model.save_pretrained` and `load_adapter`")
def save_and_load(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    model.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    torch.manual_seed(9)
    again = of_transformers(case)
    again.load_adapter(str(folder), "b")
    assert torch.equal(case.output(again), case.output(model))


@feature("`model.get_adapter_state_dict`")
def adapter_state_dict(case: Case, folder: Path) -> None:
    model = with_adapter(case, "a", seed=1)
    state = {key: tensor.clone() for key, tensor in model.get_adapter_state_dict("a").items()}
    assert state
    assert not [key for key in state if ".a." in key]
    again = with_adapter(case, "b", seed=2)
    assert not torch.equal(case.output(again), case.output(model))
    again.delete_adapter("b")
    again.load_adapter(adapter_name="b", adapter_state_dict=state, peft_config=case.config())
    assert torch.equal(case.output(again), case.output(model))


@feature("`AutoModel....from_pretrained(adapter folder)`")
def auto_model(case: Case, folder: Path) -> None:
    base = of_transformers(case)
    base.save_pretrained(folder / "base")
    model = case.adapted()
    model.peft_config["default"].base_model_name_or_path = str(folder / "base")
    model.save_pretrained(folder / "adapter")
    loaded = getattr(transformers, case.family.auto or "").from_pretrained(folder / "adapter").eval()
    assert isinstance(loaded, type(base))
    assert torch.equal(case.output(loaded), case.output(model))
