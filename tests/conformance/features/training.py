"""Plain training, checkpointing, compilation, and the trainers of transformers and TRL."""

import math
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainingArguments
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from tests.conformance.case import Case, NotApplicable, trained
from tests.conformance.features.registry import feature
from tests.conformance.tokenizer import words
from tests.rounding import assert_close

QUIET: dict[str, Any] = {
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "logging_steps": 1,
    "max_steps": 2,  # the first one finds bases
    "per_device_train_batch_size": 2,
    "learning_rate": 0.02,
    "gradient_checkpointing": False,
    "bf16": False,
}

TRAINED = ("qwthn_", "lora_", "modules_to_save")  # PEFT adds the head of a classifier to the last


@feature("every parameter is trained, and no other")
def every_parameter_is_trained(case: Case, folder: Path) -> None:
    model = get_peft_model(case.base(), case.config())
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    first = case.loss(model.eval()).item()
    trained(case, model, steps=4)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == any(part in name for part in TRAINED), name
        assert torch.equal(parameter, start[name]) != parameter.requires_grad, name
    assert case.loss(model).item() < first


def gradients(case: Case, model: nn.Module) -> dict[str, torch.Tensor]:
    """Of one training step with the same dropout at every call."""
    model.train()
    torch.manual_seed(3)
    case.loss(model).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}


@feature("gradient checkpointing, re-entrant or not", torch.float64)
def checkpointing(case: Case, folder: Path) -> None:
    if not isinstance(case.base(), PreTrainedModel):
        raise NotApplicable("a plain module has no checkpointing")
    plain = case.adapted()
    plain.config.use_cache = False  # as checkpointing does: some models compute the same in another order then
    wanted = gradients(case, plain)
    assert all(wanted[name].abs().max() > 0 for name, p in plain.named_parameters() if p.requires_grad)
    for reentrant in (True, False):
        model = case.adapted()
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
        layer, again = next(each for each in model.modules() if isinstance(each, BaseTunerLayer)), []
        layer.register_forward_hook(lambda *_, again=again: again.append(1))
        found = gradients(case, model)
        assert len(again) == 2  # once more in the backward pass
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())


@feature("`torch.compile` of an adapted layer, as one graph", torch.float64)
def compiled_layer(case: Case, folder: Path) -> None:
    model = case.adapted()
    layer = [module for module in model.modules() if isinstance(module, BaseTunerLayer)][-1]
    x = input_of(case, model, layer)
    torch.compiler.reset()
    results = []
    for call in (layer, torch.compile(layer, backend="eager", fullgraph=True)):
        y = call(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [p for p in layer.parameters() if p.requires_grad])))
    for eager, compiled in zip(*results, strict=True):
        assert eager.abs().max() > 0
        assert_close(compiled, eager)


def input_of(case: Case, model: nn.Module, layer: nn.Module) -> torch.Tensor:
    """What a layer gets when the model is called."""
    seen: list[torch.Tensor] = []
    with layer.register_forward_pre_hook(lambda _, args: seen.append(args[0])):
        case.output(model)
    return seen[0]


def rows(case: Case) -> list[dict[str, torch.Tensor]]:
    """The family's batch, row by row."""
    assert case.family.labels is not None
    batch = {**case.family.inputs(), "labels": case.family.labels()}
    return [{key: value[row] for key, value in batch.items()} for row in range(2)]


def fit(trainer: Trainer) -> float:
    """Train two steps, and return the loss of the first."""
    trainer.train()
    loss: float = trainer.state.log_history[0]["loss"]
    return loss


def check_saved(case: Case, model: Any, folder: Path) -> None:
    """What the trainer saved is what it trained, and that is no longer the base model."""
    saved = PeftModel.from_pretrained(case.base(), folder).eval()
    assert torch.equal(case.output(saved), case.output(model.eval()))
    assert not torch.equal(case.output(saved), case.output(case.base()))


@feature("`Trainer`")
def with_trainer(case: Case, folder: Path) -> None:
    if case.family.labels is None:
        raise NotApplicable("the model gives no loss")
    model = get_peft_model(case.base(), case.config())
    trainer = Trainer(model, TrainingArguments(str(folder / "run"), **QUIET), train_dataset=rows(case))
    wanted = case.loss(model.eval()).item()
    torch.testing.assert_close(fit(trainer), wanted, rtol=0.2, atol=0)  # but for the base model's dropout
    trainer.save_model(str(folder / "adapter"))
    check_saved(case, model, folder / "adapter")


def decoders_only(case: Case) -> None:
    if case.family.task != "CAUSAL_LM":
        raise NotApplicable("TRL trains causal language models")


def tokenized() -> Any:
    """Rows of token ids, as TRL takes them when they need no tokenizer."""
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [[3, 4, 5, 6, 7], [8, 9, 10]]})


@feature("TRL's `SFTTrainer(peft_config=...)`")
def with_sft_trainer(case: Case, folder: Path) -> None:
    decoders_only(case)
    trainer = SFTTrainer(
        case.base(),
        SFTConfig(str(folder / "run"), max_length=8, **QUIET),
        train_dataset=tokenized(),
        processing_class=words(),
        peft_config=case.config(),
    )
    fit(trainer)
    trainer.save_model(str(folder / "adapter"))
    check_saved(case, trainer.model, folder / "adapter")


@feature("TRL's `DPOTrainer` without a reference model")
def with_dpo_trainer(case: Case, folder: Path) -> None:
    decoders_only(case)
    from datasets import Dataset

    text = {"prompt": ["w3 w4", "w5 w6"], "chosen": [" w7 w8", " w9"], "rejected": [" w9", " w8 w7"]}
    trainer = DPOTrainer(
        case.adapted(),
        args=DPOConfig(str(folder / "run"), max_length=8, **QUIET),
        train_dataset=Dataset.from_dict(text),
        processing_class=words(),
    )
    # before the first step the reference, a copy of the adapter beside it, is the same model
    torch.testing.assert_close(fit(trainer), math.log(2), rtol=0.1, atol=0)  # but for the base model's dropout
    trainer.save_model(str(folder / "adapter"))
    check_saved(case, trainer.model, folder / "adapter")
