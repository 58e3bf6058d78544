"""Parts of the base model that are trained beside the adapter."""

from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model

from tests.conformance.case import Case, NotApplicable, trained
from tests.conformance.features.registry import feature
from tests.conformance.features.saving import loaded
from tests.conformance.methods import CONTROL


def trained_and_loaded(case: Case, folder: Path, expected: set[str], **changes: Any) -> None:
    """Train, save, load; beside the adapter's own, exactly these parameters must have been trained."""
    model = get_peft_model(case.base(), case.config(**changes))
    own = "lora_" if case.method == CONTROL else "qwthn_"
    head = ".modules_to_save."
    found = {n for n, p in model.named_parameters() if p.requires_grad and own not in n and head not in n}
    assert {name.replace(".base_layer.", ".").removeprefix("base_model.model.") for name in found} == expected
    before = {name: model.get_parameter(name).detach().clone() for name in found}
    trained(case, model)
    still = {name for name, tensor in before.items() if torch.equal(model.get_parameter(name), tensor)}
    # a softmax is blind to biases of keys, and a pooler is no part of the hidden states
    assert all("key" in name or "k_proj" in name or "pooler" in name for name in still)
    model.save_pretrained(folder)
    assert torch.equal(case.output(loaded(case, folder)), case.output(model))


@feature('`bias="all"`')
def all_biases(case: Case, folder: Path) -> None:
    heads = {f"{case.family.head}.bias"} if case.family.task in ("SEQ_CLS", "TOKEN_CLS") else set()
    biases = {name for name, _ in case.base().named_parameters() if name.endswith(".bias")}
    if not biases - heads:
        raise NotApplicable("the model has no biases")
    trained_and_loaded(case, folder, biases - heads, bias="all")


@feature('`bias="qwthn_only"` (LoRA: `lora_only`)')
def own_biases(case: Case, folder: Path) -> None:
    targets = [n for n, m in case.base().named_modules() if n.rpartition(".")[2] in case.family.targets]
    parameters = dict(case.base().named_parameters())
    biases = {f"{name}.bias" for name in targets if f"{name}.bias" in parameters}
    if not biases:
        raise NotApplicable("the adapted layers have no biases")
    trained_and_loaded(case, folder, biases, bias="lora_only" if case.method == CONTROL else "qwthn_only")


@feature("`trainable_token_indices`")
def tokens(case: Case, folder: Path) -> None:
    if not case.family.takes_tokens:
        raise NotApplicable("it takes no tokens")
    model = get_peft_model(case.base(), case.config(trainable_token_indices=[3, 5, 7]))
    before = case.output(model.eval())
    trained(case, model)
    assert not torch.equal(case.output(model), before)
    deltas = [n for n, p in model.named_parameters() if "trainable_tokens_delta" in n and p.requires_grad]
    assert deltas
    model.save_pretrained(folder)
    assert torch.equal(case.output(loaded(case, folder)), case.output(model))
