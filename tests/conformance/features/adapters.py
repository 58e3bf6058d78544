"""Adapters put on, taken off, switched and mixed."""

from pathlib import Path

import torch
from peft import get_peft_model

from tests.conformance.case import Case
from tests.conformance.features.registry import feature


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
