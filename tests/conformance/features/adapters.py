"""Adapters put on, taken off, switched, mixed and trained one at a time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from tests.conformance.case import Case, NotApplicable
from tests.conformance.features.registry import feature
from tests.conformance.methods import CONTROL, METHODS
from tests.rounding import assert_close


def second(case: Case, **changes: Any) -> Any:
    """A config of the next preset (LoRA again for the control), of another rank, on one of the two targets only."""
    presets = METHODS[1:]
    method = CONTROL if case.method == CONTROL else presets[(presets.index(case.method) + 1) % len(presets)]
    defaults = {"r": 2, "target_modules": case.family.targets[:1], "init_weights": False}
    return Case(case.family, method, case.dtype).config(**{**defaults, **changes})


def alone(case: Case, **changes: Any) -> Any:
    """A model with nothing but the second adapter, of the weights that `pair` gives it."""
    torch.manual_seed(2)
    return get_peft_model(case.base(), second(case, **changes), adapter_name="ab").eval()


def pair(case: Case, **changes: Any) -> Any:
    """A model with two adapters, "a" (active) and "ab", which differ in preset, rank and targets."""
    model = case.adapted("a", **changes)
    torch.manual_seed(2)
    model.add_adapter("ab", second(case, **changes))
    return model.eval()


def outputs(case: Case, model: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
    """What each adapter of a pair gives by itself, and what the base model gives."""
    found = {"__base__": case.output(case.base(), **kwargs)}
    for name in ("ab", "a"):
        model.set_adapter(name)
        found[name] = case.output(model, **kwargs)
    return found


def tuner_layers(model: nn.Module) -> dict[str, Any]:
    """The adapted layers by name, without the part that PEFT puts before it."""
    return {
        name.removeprefix("base_model.model."): module
        for name, module in model.named_modules()
        if isinstance(module, BaseTunerLayer)
    }


@feature("start leaves the base model as it is")
def start_is_exact(case: Case, folder: Path) -> None:
    before = case.output(case.base())
    model = get_peft_model(case.base(), case.config()).eval()
    assert torch.equal(case.output(model), before)


@feature("`disable_adapter`")
def disable(case: Case, folder: Path) -> None:
    model, base = case.adapted(), case.output(case.base())
    before = case.output(model)
    assert not torch.equal(before, base)
    with model.disable_adapter():
        assert torch.equal(case.output(model), base)
    assert torch.equal(case.output(model), before)


@feature("`add_adapter` of another preset, rank and targets; `set_adapter`, `delete_adapter`")
def several(case: Case, folder: Path) -> None:
    model = pair(case)
    found = outputs(case, model)
    assert torch.equal(found["a"], case.output(case.adapted("a")))
    assert torch.equal(found["ab"], case.output(alone(case)))
    assert not torch.equal(found["a"], found["ab"])
    model.delete_adapter("a")
    assert not [key for key in model.state_dict() if ".a." in key]
    assert torch.equal(case.output(model), found["ab"])


@feature("`unload` gives the base model back bit for bit")
def unload(case: Case, folder: Path) -> None:
    wanted, model = case.base(), pair(case)
    case.output(model)
    left = model.unload()
    assert type(left) is type(wanted)
    assert list(left.state_dict()) == list(wanted.state_dict())
    for found, tensor in zip(left.state_dict().values(), wanted.state_dict().values(), strict=True):
        assert torch.equal(found, tensor)
    for (name, module), original in zip(left.named_modules(), wanted.modules(), strict=True):
        assert type(module) is type(original), name
        assert len(module._forward_pre_hooks) == len(original._forward_pre_hooks), name
        assert len(module._forward_hooks) == len(original._forward_hooks), name
    again = get_peft_model(left, case.config()).eval()
    assert torch.equal(case.output(again), case.output(wanted))


@feature("two active adapters add up", torch.float64)
def both_active(case: Case, folder: Path) -> None:
    # without the task, for which PEFT may train the head whole: of two heads, one alone can be active
    model = pair(case, task_type=None)
    name = next(name for name, layer in tuner_layers(model).items() if "ab" in layer.scaling)
    layer = tuner_layers(model)[name]
    base = layer.get_base_layer()
    width = base.weight.shape[0] if type(base).__name__ == "Conv1D" else base.weight.shape[1]
    x = torch.linspace(-1, 1, 3 * width, dtype=case.dtype).view(1, 3, width)
    added = []
    with torch.no_grad():
        for names in ("a", "ab", ["a", "ab"]):
            model.base_model.set_adapter(names)
            added.append(layer(x) - base(x))
    assert_close(added[2], added[0] + added[1])
    assert not torch.equal(added[0], added[1])
    model.train()
    case.loss(model).backward()
    for name in ("a", "ab"):
        assert any(p.grad is not None for key, p in model.named_parameters() if f".{name}." in key)


@feature("mixed batches: `adapter_names` in `forward`", torch.float64)
def mixed_batch(case: Case, folder: Path) -> None:
    model = pair(case)
    for names in (["ab", "__base__"], ["a", "ab"]):
        check_rows(case, model, names)
    with pytest.raises(ValueError, match=r"non-existing adapter\(s\): none such"):
        case.output(model, adapter_names=["a", "none such"])


@feature("mixed batches with `modules_to_save`", torch.float64)
def mixed_heads(case: Case, folder: Path) -> None:
    if not isinstance(case.base().get_submodule(head_name(case)), nn.Linear):
        raise NotApplicable("PEFT mixes single layers only, and this head is none")
    model = pair(case, modules_to_save=[case.family.head])
    for shift, name in enumerate(("a", "ab"), 1):
        for key, parameter in model.named_parameters():
            if f".modules_to_save.{name}." in key:
                parameter.data += shift * torch.linspace(-1, 1, parameter.numel()).view(parameter.shape)
    check_rows(case, model, ["ab", "__base__"])


def check_rows(case: Case, model: Any, names: list[str]) -> None:
    """Each row of a batch equals the row that its adapter gives by itself."""
    wanted = outputs(case, model)
    found = case.output(model, adapter_names=names)
    for row, name in enumerate(names):
        assert_close(found[row], wanted[name][row])


def head_name(case: Case) -> str:
    """The whole name of the head that can be trained."""
    (name,) = (name for name, _ in case.base().named_modules() if f".{name}".endswith(f".{case.family.head}"))
    return name


@feature("mixed batches in `generate`, greedy and with beams", torch.float64)
def mixed_generation(case: Case, folder: Path) -> None:
    if not case.family.generates:
        raise NotApplicable("the model does not generate")
    model = pair(case)
    names = ["ab", "a"]
    for beams in (1, 2):
        settings = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False, "num_beams": beams}
        wanted = []
        for row, name in enumerate(names):
            model.set_adapter(name)
            wanted.append(model.generate(**case.family.inputs(), **settings)[row])
        found = model.generate(**case.family.inputs(), **settings, adapter_names=names)
        assert torch.equal(found, torch.stack(wanted))
