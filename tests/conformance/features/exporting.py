"""Adapters for other programs, and adapters swapped in place."""

from pathlib import Path

import torch
from peft import PeftModel
from peft.utils.hotswap import hotswap_adapter

import qweft
from qweft.adapter import QwthnLinear
from qweft.exporting.linearise import linearise
from qweft.exporting.lora import lora_config, write_lora
from qweft.exporting.measure import replaced
from tests.conformance.case import Case, NotApplicable
from tests.conformance.features.registry import feature
from tests.conformance.methods import CONTROL


@feature("export to a plain LoRA (exact without a circuit)")
def export(case: Case, folder: Path) -> None:
    if case.method == CONTROL:
        raise NotApplicable("it is a LoRA")
    model = case.adapted(modules_to_save=[case.family.head])
    wanted = case.output(model)
    lora, _ = linearise(model, [case.family.inputs()])
    write_lora(folder, lora, lora_config(lora, model.get_base_model(), model.peft_config["default"]))
    again = PeftModel.from_pretrained(case.base(), str(folder)).eval()
    assert not any(isinstance(module, QwthnLinear) for module in again.modules())
    if case.has_circuit:  # how near the fit comes is for pretrained models to say
        with replaced(model, lora):
            wanted = case.output(model)
    torch.testing.assert_close(case.output(again), wanted, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(wanted, case.output(case.base()), rtol=1e-2, atol=1e-3)


@feature("hot-swapping (`qweft.hotswap_adapter`; LoRA by PEFT's own)")
def hotswap(case: Case, folder: Path) -> None:
    if case.method == CONTROL and case.family.task in ("SEQ_CLS", "TOKEN_CLS"):
        raise NotApplicable("PEFT's hot-swapping takes no trained heads along")
    other = case.adapted(seed=2)
    other.save_pretrained(folder)
    model = case.adapted()
    before, wanted = case.output(model), case.output(other)
    swap = hotswap_adapter if case.method == CONTROL else qweft.hotswap_adapter
    swap(model, str(folder), adapter_name="default", torch_device="cpu")
    assert torch.equal(case.output(model), wanted)
    assert not torch.equal(before, wanted)
