"""A few steps that bring the exported LoRA nearer to the adapter that it stands for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import kl_div, log_softmax

from qweft.errors import QweftError
from qweft.export.linearise import layers_of
from qweft.export.measure import target_logits


def distil(
    model: Any,
    adapter_name: str,
    exported: str,
    batches: Sequence[Mapping[str, torch.Tensor]],
    steps: int,
    learning_rate: float,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Train the exported adapter to give the tokens the probabilities that the hybrid gives them.

        loss = mean over the positions before target tokens of KL(hybrid || exported), AdamW, rate falling to zero

    Args:
        model: The model with both adapters.
        adapter_name: The hybrid, left as it is.
        exported: The LoRA, trained in place.
        batches: input_ids, attention_mask and labels; gone through in turn.
        steps: Optimizer steps.
        learning_rate: Of the first step.
        progress: Called after each step with its number and loss.

    Returns:
        The loss of each step, in nats.

    Raises:
        QweftError: If the loss stops being a number.
    """
    parameters = [t for layer in layers_of(model, exported).values() for t in layer.branch_of(exported).tensors()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    losses = []
    for step in range(steps):
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
