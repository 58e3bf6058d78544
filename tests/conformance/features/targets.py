"""Which layers get a branch, and of what rank and scale: by lists, expressions, blocks, or PEFT's own choice."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from tests.conformance.case import Case, NotApplicable, Refused
from tests.conformance.features.adapters import tuner_layers
from tests.conformance.features.merging import refused
from tests.conformance.features.registry import feature
from tests.conformance.methods import CONTROL
from tests.rounding import assert_close


def named(case: Case, pattern: str) -> list[str]:
    """The base model's modules whose whole name the expression matches; found without PEFT."""
    found = [name for name, _ in case.base().named_modules() if re.fullmatch(pattern, name)]
    assert found, f"{pattern} matches nothing in {case.family.name}"
    return found


def adapted_names(case: Case, **changes: Any) -> list[str]:
    """The names of the layers that this config adapts."""
    return list(tuner_layers(case.adapted(**changes)))


def lora_names(case: Case, **changes: Any) -> list[str]:
    """The names of the layers that LoRA would adapt."""
    return list(tuner_layers(get_peft_model(case.base(), LoraConfig(**{"task_type": case.family.task, **changes}))))


def ending(targets: list[str]) -> str:
    """The expression for modules of these names, wherever they are."""
    return rf"(.*\.)?({'|'.join(targets)})"


@feature('`target_modules="all-linear"`')
def all_linear(case: Case, folder: Path) -> None:
    base = case.base()
    # PEFT leaves the heads of its other tasks alone, and fails on this one, which it also wants to train whole
    but = {"exclude_modules": [case.family.head]} if case.family.task == "TOKEN_CLS" else {}
    found = adapted_names(case, target_modules="all-linear", **but)
    assert found == lora_names(case, target_modules="all-linear", **but)
    linear = {name for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    left = linear - set(found)
    if case.family.task in ("CAUSAL_LM", "SEQ_2_SEQ_LM", "SEQ_CLS", "TOKEN_CLS"):
        assert left == set(named(case, ending([case.family.head])))
    else:
        assert not left
    if case.family.generates:
        assert base.get_output_embeddings() is base.get_submodule(left.pop())


@feature("default targets: `target_modules=None`")
def default_targets(case: Case, folder: Path) -> None:
    try:
        wanted = lora_names(case)
    except ValueError as error:
        assert str(error).startswith("Please specify `target_modules`")
        with pytest.raises(ValueError, match=r"^Please specify `target_modules`"):
            case.adapted(target_modules=None)
        raise NotApplicable("PEFT has no default targets for it, and asks for them; for LoRA too") from None
    assert adapted_names(case, target_modules=None) == wanted


@feature("`rank_pattern`, `alpha_pattern`", torch.float64)
def patterns(case: Case, folder: Path) -> None:
    first = case.family.targets[0]
    plain = case.adapted(rank_pattern={first: 2}, alpha=3.0)
    model = case.adapted(rank_pattern={first: 2}, alpha=3.0, alpha_pattern={ending([first]): 12.0})
    for name, layer in tuner_layers(model).items():
        is_first = name.endswith(first)
        rank = 2 if is_first else 3
        if case.method == CONTROL:
            shapes = layer.lora_A["default"].weight.shape[0], layer.lora_B["default"].weight.shape[1]
        else:
            branch = layer.branch_of("default")
            shapes = branch.compress.matrix().shape[0], branch.expand.matrix().shape[1]
        assert shapes == (rank, rank)
        assert layer.scaling["default"] == (12 / 2 if is_first else 3 / 3)
        base, other_layer = layer.get_base_layer(), tuner_layers(plain)[name]
        width = base.weight.shape[0] if isinstance(base, Conv1D) else base.weight.shape[1]
        x = torch.linspace(-1, 1, 3 * width, dtype=case.dtype).view(3, width)
        with torch.no_grad():
            added, before = layer(x) - base(x), other_layer(x) - base(x)
        assert before.abs().max() > 1e-3
        assert_close(added, before * (4 if is_first else 1))
    with pytest.warns(RuntimeWarning, match="did not match any targeted module"):
        case.adapted(rank_pattern={"no_such_layer": 2})


def tied(case: Case) -> nn.Module:
    """The base model, if its input and output embeddings are one."""
    base = case.base()
    if not getattr(getattr(base, "config", None), "tie_word_embeddings", False) or not case.family.generates:
        raise NotApplicable("its embeddings are not tied")
    assert base.get_input_embeddings().weight is base.get_output_embeddings().weight
    return base


@feature("merging into a tied output embedding")
def tied_merge(case: Case, folder: Path) -> Refused | None:
    wanted = tied(case).get_input_embeddings().weight.detach().clone()
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        model = case.adapted(target_modules=[*case.family.targets, "lm_head"])
    if case.method == CONTROL:
        with pytest.warns(UserWarning, match="This can lead to complications"):
            model.merge_adapter()
        assert not torch.equal(model.get_base_model().get_input_embeddings().weight, wanted)
        return None
    if case.has_circuit:
        return refused(case, model, model.merge_adapter)
    before = case.output(model)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match="lm_head shares its weight with"):
            merge()
    assert torch.equal(model.get_base_model().get_input_embeddings().weight, wanted)
    assert torch.equal(case.output(model), before)
    return Refused("merging would change the input embedding too, which shares the weight (LoRA changes it and warns)")


@feature("the input embedding as a target")
def input_embedding(case: Case, folder: Path) -> Refused | None:
    if not case.family.takes_tokens:
        raise NotApplicable("it takes no tokens")
    base = case.base()
    embedding = base.get_input_embeddings()
    name = next(name for name, module in base.named_modules() if module is embedding)
    targets = [*case.family.targets, name.rpartition(".")[2]]
    if case.method == CONTROL:
        assert name in adapted_names(case, target_modules=targets)
        return None
    with pytest.raises(ValueError, match=rf"target module {name} is a \w*Embedding\w*; QWTHN adapts nn.Linear"):
        case.adapted(target_modules=targets)
    return Refused("it adapts linear layers, and an embedding is a table")
