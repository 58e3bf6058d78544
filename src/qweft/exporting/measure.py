"""Compares an exported LoRA with its adapter on held-out text, and improves it by distillation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.utils import ModulesToSaveWrapper
from torch.nn.functional import kl_div, log_softmax

from qweft.adapter import QwthnConfig
from qweft.adapter.attach import quiet_peft
from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED, Encoded
from qweft.errors import QweftError
from qweft.evaluation.loss import device_of, held_out_loss, judged
from qweft.evaluation.row_scores import CLEAR, HeldOutLoss, ratio
from qweft.exporting.linearise import layers_of
from qweft.exporting.lora import Lora, exactly
from qweft.text import with_progress


@contextmanager
def second_adapter(model: Any, lora: Lora, adapter_name: str) -> Iterator[str]:
    """Adds the LoRA to the model as a second adapter, and deletes it on exit.

    It uses the preset "lora", which computes the same as PEFT's LoRA and can be combined with other QWTHN adapters.

    Args:
        model: The PEFT model with the original adapter, which is active again on exit.
        lora: The LoRA.
        adapter_name: Name of the original adapter.

    Yields:
        The name of the second adapter.
    """
    name = "exported"
    while name in model.peft_config:
        name += "_"
    config = QwthnConfig.preset(
        "lora",
        r=lora.rank,
        alpha=lora.rank,
        target_modules=exactly(lora.down),
        modules_to_save=model.peft_config[adapter_name].modules_to_save,
    )
    with quiet_peft():
        model.add_adapter(name, config)
    try:
        _write(model, lora, name, adapter_name)
        yield name
    finally:
        model.set_adapter(adapter_name)
        model.delete_adapter(name)


@torch.no_grad()
def _write(model: Any, lora: Lora, name: str, adapter_name: str) -> None:
    """Copies the LoRA's tensors and the adapter's fully trained modules to the second adapter."""
    for layer_name, layer in layers_of(model, name).items():
        branch = layer.branch_of(name)
        (down,), (up,) = branch.compress.tensors(), branch.expand.tensors()
        down.copy_(lora.down[layer_name])
        up.copy_(lora.up[layer_name])
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper) and adapter_name in module.modules_to_save:
            module.modules_to_save[name].load_state_dict(module.modules_to_save[adapter_name].state_dict())


def read_second_adapter(model: Any, lora: Lora, name: str) -> Lora:
    """Returns the LoRA with the current tensors of the second adapter.

    Args:
        model: The PEFT model with the second adapter.
        lora: The LoRA that the second adapter was created from.
        name: Name of the second adapter.
    """
    branches = {layer_name: layer.branch_of(name) for layer_name, layer in layers_of(model, name).items()}
    return Lora(
        lora.rank,
        {key: branch.compress.tensors()[0].detach().clone() for key, branch in branches.items()},
        {key: branch.expand.tensors()[0].detach().clone() for key, branch in branches.items()},
        lora.whole,
    )


@dataclass(frozen=True)
class Measured:
    """Base model, hybrid model and exported LoRA on the same held-out rows; see `measure`.

    Args:
        base_loss: Loss of the base model in nats per target token.
        hybrid_loss: Loss with the adapter.
        exported_loss: Loss with the LoRA.
        largest_logit_change: Largest absolute difference between logits of the hybrid model and the LoRA; `None` if
            weights were written that half precision has rounded again.
        equal_greedy_share: Share of the positions where both have the same most likely token; `None` likewise.
        tokens: Number of target tokens.
        gain_error: Standard error of the gain over rows; `None` with fewer than two rows that have targets.
    """

    base_loss: float
    hybrid_loss: float
    exported_loss: float
    largest_logit_change: float | None
    equal_greedy_share: float | None
    tokens: int
    gain_error: float | None = None

    @property
    def gain(self) -> float:
        """Loss of the base model minus loss of the hybrid model, in nats per target token."""
        return self.base_loss - self.hybrid_loss

    @property
    def kept_share(self) -> float | None:
        """Share of the gain that the LoRA keeps; `None` if the gain is not above twice its error."""
        return (self.base_loss - self.exported_loss) / self.gain if self.is_clear else None

    @property
    def is_clear(self) -> bool:
        """Whether the gain is above twice its error, so that shares of it mean something."""
        return self.gain > CLEAR * (self.gain_error or 0.0)


def measure(
    model: Any, adapter_name: str, exported: str, rows: Sequence[Encoded], pad_token_id: int, batch_size: int
) -> Measured:
    """Compares two adapters and the base model at all positions followed by a target token.

    Args:
        model: The model with both adapters.
        adapter_name: Name of the original adapter.
        exported: Name of the LoRA.
        rows: Held-out rows.
        pad_token_id: Token that pads shorter rows.
        batch_size: Rows in a batch.

    Raises:
        QweftError: If no row has a target token.
    """
    with model.disable_adapter():
        base = held_out_loss(model, rows, pad_token_id, batch_size)
    found = []
    for name in (adapter_name, exported):
        model.set_adapter(name)
        found.append(held_out_loss(model, rows, pad_token_id, batch_size))
    hybrid, lora = found
    change, equal, positions = 0.0, 0, 0
    with judged(model):
        batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        for those in with_progress(batches, "comparing the logits", "row", len):
            batch = on_device(Collator(pad_token_id)(those), device_of(model))
            one, other = (target_logits(model, name, batch) for name in (adapter_name, exported))
            if len(one):
                change = max(change, (one - other).abs().max().item())
            equal += int((one.argmax(-1) == other.argmax(-1)).sum())
            positions += len(one)
    error = _gain_error(base, hybrid)
    return Measured(base.loss, hybrid.loss, lora.loss, change, equal / positions, base.tokens, error)


def _gain_error(base: HeldOutLoss, adapter: HeldOutLoss) -> float | None:
    """Returns the standard error over rows of what an adapter gains."""
    return ratio([(one - other, count) for (one, count), (other, _) in zip(base.rows, adapter.rows, strict=True)])[1]


def measure_itself(model: Any, rows: Sequence[Encoded], pad_token_id: int, batch_size: int) -> Measured:
    """Measures an adapter that is a LoRA already, so that nothing is lost by taking its matrices.

    Args:
        model: The model with the adapter.
        rows: Held-out rows.
        pad_token_id: Token that pads shorter rows.
        batch_size: Rows in a batch.

    Raises:
        QweftError: If no row has a target token.
    """
    with model.disable_adapter():
        base = held_out_loss(model, rows, pad_token_id, batch_size)
    own = held_out_loss(model, rows, pad_token_id, batch_size)
    return Measured(base.loss, own.loss, own.loss, 0.0, 1.0, base.tokens, _gain_error(base, own))


def on_device(batch: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Returns the batch with its tensors on the device."""
    return {key: tensor.to(device) for key, tensor in batch.items()}


def target_logits(model: Any, name: str, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Returns float32 logits (positions, vocabulary) at the positions followed by a target token.

    Args:
        model: The model.
        name: The adapter, which becomes the active one.
        batch: input_ids, attention_mask and labels.
    """
    model.set_adapter(name)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    return logits[:, :-1][batch["labels"][:, 1:] != IGNORED].float()


def distil(
    model: Any,
    adapter_name: str,
    exported: str,
    batches: Sequence[Mapping[str, torch.Tensor]],
    steps: int,
    learning_rate: float,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Trains the exported LoRA to match the hybrid model's token probabilities.

        loss = mean of KL(hybrid || exported) over the positions before target tokens

    The optimizer is AdamW with a learning rate that decays linearly to zero.

    Args:
        model: The model with both adapters.
        adapter_name: Name of the original adapter, which does not change.
        exported: Name of the LoRA, which is trained in place.
        batches: input_ids, attention_mask and labels; used cyclically.
        steps: Number of optimizer steps.
        learning_rate: Learning rate of the first step.
        progress: Called after each step with its number, from 1, and its loss.

    Returns:
        The loss of each step, in nats.

    Raises:
        QweftError: If the loss becomes NaN or infinite.
    """
    parameters = [t for layer in layers_of(model, exported).values() for t in layer.branch_of(exported).tensors()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    losses = []
    for step in with_progress(range(steps), "distilling", "step"):
        batch = batches[step % len(batches)]
        with torch.no_grad():
            wanted = log_softmax(target_logits(model, adapter_name, batch), -1)
        found = log_softmax(target_logits(model, exported, batch), -1)
        loss = kl_div(found, wanted, reduction="batchmean", log_target=True)
        if not torch.isfinite(loss):
            raise QweftError(
                f"distillation: the loss is not a number at step {step + 1}; lower distill_learning_rate "
                f"(now {learning_rate:g})"
            )
        optimizer.zero_grad()
        torch.autograd.backward(loss, inputs=parameters)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        progress(step + 1, losses[-1])
    return losses
