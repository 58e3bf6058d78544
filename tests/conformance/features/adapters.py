"""Adapters put on, taken off, switched, mixed and trained one at a time."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftMixedModel, get_model_status, get_peft_model
from peft.helpers import rescale_adapter_scale
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from tests.conformance.case import Case, NotApplicable, Refused, trained
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
    assert not torch.equal(case.output(case.adapted()), before)


@feature("`disable_adapter`")
def disable(case: Case, folder: Path) -> None:
    model = case.adapted()
    before = case.output(model)
    with model.disable_adapter():
        assert torch.equal(case.output(model), case.output(case.base()))
    assert torch.equal(case.output(model), before)


@feature("`add_adapter` of another preset, rank and targets; `set_adapter`")
def several(case: Case, folder: Path) -> None:
    model = pair(case)
    found = outputs(case, model)
    assert torch.equal(found["a"], case.output(case.adapted("a")))
    assert torch.equal(found["ab"], case.output(alone(case)))
    assert not torch.equal(found["a"], found["ab"])
    with pytest.raises(ValueError, match="already exists"):
        model.add_adapter("a", case.config())


@feature("`delete_adapter`")
def delete(case: Case, folder: Path) -> None:
    model = pair(case)
    model.delete_adapter("a")
    assert not [key for key in model.state_dict() if ".a." in key]
    assert model.active_adapters == ["ab"]
    assert torch.equal(case.output(model), case.output(alone(case)))
    model.add_adapter("a", case.config(init_weights=False))
    model.delete_adapter("ab")
    assert not torch.equal(case.output(model), case.output(case.base()))
    model.delete_adapter("a")
    assert torch.equal(case.output(model.base_model), case.output(case.base()))


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
    if case.method != CONTROL:  # PEFT's own KeyError there: one adapter with a head, and one without
        model = case.adapted("a", task_type=None, modules_to_save=[case.family.head])
        model.get_submodule(f"base_model.model.{head_name(case)}").modules_to_save["a"].weight.data *= 2
        model.add_adapter("ab", second(case, task_type=None))
        check_rows(case, model.eval(), ["a", "ab"])


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


@feature("gradients for the active adapter alone; `set_requires_grad`")
def gradients_for_the_active(case: Case, folder: Path) -> None:
    model = pair(case)

    def trainable() -> set[str]:
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert all(".a." in name or ".ab." in name for name in names)
        return {adapter for adapter in ("a", "ab") if any(f".{adapter}." in name for name in names)}

    everything = {name for name, _ in model.named_parameters() if ".a." in name}
    assert everything == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.set_adapter("ab")
    assert trainable() == {"ab"}
    with model.disable_adapter():
        assert not trainable() - {"ab"}
    assert trainable() == {"ab"}
    model.set_requires_grad("a")
    assert trainable() == {"a", "ab"}
    model.set_requires_grad(["a", "ab"], requires_grad=False)
    assert trainable() == set()
    model.set_adapter("a")
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trained(case, model, steps=1)
    for name, parameter in model.named_parameters():
        assert ".a." in name or torch.equal(parameter, before[name]), name
    assert any(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@feature("`set_adapter(inference_mode=True)`")
def inference_mode(case: Case, folder: Path) -> None:
    model = pair(case)
    model.set_adapter("ab", inference_mode=True)
    assert not [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert torch.equal(case.output(model), case.output(alone(case)))


@feature("`get_layer_status`, `get_model_status`, `print_trainable_parameters`")
def status(case: Case, folder: Path) -> None:
    base, model = case.base(), pair(case)
    of_layers, of_model = model.get_layer_status(), get_model_status(model)
    # a head that PEFT trains whole is listed too
    layers = [entry for entry in of_layers if not entry.module_type.startswith(("Auxiliary", "ModulesToSave"))]
    assert [entry.name for entry in layers] == [f"model.{name}" for name in tuner_layers(model)]
    assert all(entry.requires_grad["a"] is True for entry in layers)
    assert all(not entry.requires_grad.get("ab", False) for entry in layers)
    assert of_model.available_adapters == ["a", "ab"]
    assert of_model.active_adapters == ["a"] and of_model.enabled and not of_model.merged_adapters
    assert of_model.requires_grad == {"a": True, "ab": False}
    assert of_model.peft_types == {name: model.peft_config[name].peft_type.value for name in ("a", "ab")}
    single = case.adapted("a")
    extra = sum(p.numel() for p in single.parameters()) - sum(p.numel() for p in base.parameters())
    printed = StringIO()
    with redirect_stdout(printed):
        single.print_trainable_parameters()
    assert f"trainable params: {extra:,d} ||" in printed.getvalue() and extra > 0


@feature("`add_weighted_adapter`")
def weighted(case: Case, folder: Path) -> Refused | None:
    model = pair(case, task_type=None)
    before = case.output(model)
    if case.method == CONTROL:
        model.add_adapter("b", case.config(init_weights=False, task_type=None))
        model.add_weighted_adapter(["a", "b"], [0.5, 0.5], "sum", combination_type="cat")
        model.set_adapter("sum")
        assert not torch.equal(case.output(model), before)
        return None
    with pytest.raises(NotImplementedError, match=r"adapters of QWTHN cannot be combined into one.*set_adapter"):
        model.add_weighted_adapter(["a", "ab"], [0.5, 0.5], "sum")
    assert torch.equal(case.output(model), before)
    return Refused("two circuits are not one circuit: no adapter equals a weighted sum; make both active instead")


@feature("`PeftMixedModel`")
def mixed_model(case: Case, folder: Path) -> Refused | None:
    if case.method == CONTROL:
        assert isinstance(get_peft_model(case.base(), case.config(task_type=None), mixed=True), PeftMixedModel)
        return None
    with pytest.raises(ValueError, match=r"'QWTHN' is not compatible with the `PeftMixedModel`\. Compatible types are"):
        get_peft_model(case.base(), case.config(task_type=None), mixed=True)
    return Refused("PEFT's list of methods for `PeftMixedModel` is closed; the error names those in it")


@feature("adapters of two methods in one model")
def two_methods(case: Case, folder: Path) -> Refused:
    model = case.adapted("a")
    before = case.output(model)
    targets = case.family.targets
    other = LoraConfig if case.method != CONTROL else IA3Config
    fields = {"feedforward_modules": []} if other is IA3Config else {}
    with pytest.raises(ValueError, match="Cannot combine adapters with different peft types"):
        model.add_adapter("b", other(target_modules=targets, task_type=case.family.task, **fields))
    assert torch.equal(case.output(model), before)
    return Refused("PEFT takes adapters of one method in a model; QWTHN's presets are one method")


@feature("`rescale_adapter_scale`", torch.float64)
def rescale(case: Case, folder: Path) -> Refused | None:
    model = case.adapted()
    before = case.output(model)
    if case.method == CONTROL:
        with rescale_adapter_scale(model, 0.0):
            assert_close(case.output(model), case.output(case.base()))
        return None
    context = rescale_adapter_scale(model, 0.5)
    with pytest.raises(ValueError, match="scaling is only supported for models with `LoraLayer`s"):
        context.__enter__()
    assert torch.equal(case.output(model), before)
    return Refused("PEFT rescales its own LoRA layers only and says so")
