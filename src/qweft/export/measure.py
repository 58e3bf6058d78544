"""What an export costs, on text that neither was made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.data.collate import Collator
from qweft.data.tokens import IGNORED, Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.mode import device_of, judged


@dataclass(frozen=True)
class Measured:
    """Base model, hybrid and exported LoRA on the same held-out rows; see `measure`.

    Args:
        base_loss: Loss of the base model, nats a target token.
        hybrid_loss: Loss with the adapter.
        exported_loss: Loss with the LoRA.
        largest_logit_change: Largest absolute difference between a logit of the hybrid and of the LoRA.
        equal_greedy_share: Share of the positions where both have the same most likely token.
        tokens: Target tokens that all of this was measured on.
    """

    base_loss: float
    hybrid_loss: float
    exported_loss: float
    largest_logit_change: float
    equal_greedy_share: float
    tokens: int

    @property
    def gain(self) -> float:
        """How much lower the hybrid's loss is than the base model's."""
        return self.base_loss - self.hybrid_loss

    @property
    def kept_share(self) -> float | None:
        """Share of the gain that the LoRA keeps; none where there is no gain."""
        return (self.base_loss - self.exported_loss) / self.gain if self.gain > 0 else None


def measure(
    model: Any, adapter_name: str, exported: str, rows: Sequence[Encoded], pad_token_id: int, batch_size: int
) -> Measured:
    """Compare the two adapters and the base model at every position that is followed by a target token.

    Args:
        model: The model with both adapters.
        adapter_name: The hybrid.
        exported: The LoRA.
        rows: Held-out rows.
        pad_token_id: Fills shorter rows.
        batch_size: Rows at a time.

    Raises:
        QweftError: If no row holds a target token.
    """
    with model.disable_adapter():
        base = held_out_loss(model, rows, pad_token_id, batch_size)
    losses = []
    for name in (adapter_name, exported):
        model.set_adapter(name)
        losses.append(held_out_loss(model, rows, pad_token_id, batch_size).loss)
    change, equal, positions = 0.0, 0, 0
    with judged(model):
        for start in range(0, len(rows), batch_size):
            batch = on_device(Collator(pad_token_id)(rows[start : start + batch_size]), device_of(model))
            hybrid, lora = (target_logits(model, name, batch) for name in (adapter_name, exported))
            if len(hybrid):
                change = max(change, (hybrid - lora).abs().max().item())
            equal += int((hybrid.argmax(-1) == lora.argmax(-1)).sum())
            positions += len(hybrid)
    return Measured(base.loss, losses[0], losses[1], change, equal / positions, base.tokens)


def on_device(batch: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The batch where the model is."""
    return {key: tensor.to(device) for key, tensor in batch.items()}


def target_logits(model: Any, name: str, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits (positions, words) at the positions that are followed by a target token, in float32."""
    model.set_adapter(name)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    return logits[:, :-1][batch["labels"][:, 1:] != IGNORED].float()
