"""Adapters of every release still give what they gave; tests/adapter/frozen/make.py made them."""

import json

import pytest
import torch
from peft import PeftModel

import qweft
from tests.adapter.frozen.base import Base
from tests.adapter.frozen.make import HERE

FROZEN = sorted(path.parent for path in HERE.glob("*/*/adapter_config.json"))


def test_each_preset_of_this_release_is_frozen():
    assert {folder.name for folder in FROZEN if folder.parent.name == qweft.__version__} == set(qweft.presets())


@pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_frozen_adapter_gives_its_output(folder):
    record = json.loads((folder / "output.json").read_text())
    x, wanted = torch.tensor(record["input"]), torch.tensor(record["output"])
    model = PeftModel.from_pretrained(Base(), folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), wanted, rtol=1e-6, atol=1e-6)
        with model.disable_adapter():
            assert (model(x) - wanted).abs().max() > 1e-2
