"""Compares an exported LoRA with its adapter on held-out text."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED, Encoded
from qweft.evaluation.loss import device_of, held_out_loss, judged
from qweft.evaluation.scores import CLEAR, HeldOutLoss, ratio
from qweft.exporting.lora import Lora, tuner_layers
from qweft.text import with_progress

Batch = Mapping[str, torch.Tensor]


@contextmanager
def replaced(model: Any, lora: Lora) -> Iterator[None]:
    """Compute a LoRA in the places of an adapter's layers; modules trained whole stay as they are."""

    def added(name: str) -> Any:
        def hook(_: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            x = args[0].float()
            return output + (x @ lora.down[name].to(x).T @ lora.up[name].to(x).T).to(output.dtype)

        return hook

    with ExitStack() as stack:
        for name, layer in tuner_layers(model).items():
            layer.enable_adapters(False)
            stack.callback(layer.enable_adapters, True)
            if name in lora.down:
                stack.callback(layer.register_forward_hook(added(name)).remove)
        yield


@dataclass(frozen=True)
class Measured:
    """Base model, hybrid model and LoRA on the same held-out rows; losses in nats per target token."""

    base_loss: float
    hybrid_loss: float
    exported_loss: float
    largest_logit_change: float | None  # of LoRA to hybrid; `None` if half precision rounded weights again
    equal_greedy_share: float | None  # the same of greedy tokens
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
    model: Any, lora: Lora | None, base: HeldOutLoss, rows: Sequence[Encoded], pad_token_id: int, batch_size: int
) -> Measured:
    """Compare base model, adapter and LoRA at all target tokens; without a LoRA the adapter itself is exported."""
    hybrid = held_out_loss(model, rows, pad_token_id, batch_size)
    pairs = zip(base.rows, hybrid.rows, strict=True)
    error = ratio([(one - other, count) for (one, count), (other, _) in pairs])[1]
    if lora is None:
        return Measured(base.loss, hybrid.loss, hybrid.loss, 0.0, 1.0, base.tokens, error)
    with replaced(model, lora):
        exported = held_out_loss(model, rows, pad_token_id, batch_size)
    change, equal, positions = 0.0, 0, 0
    with judged(model):
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        for part in with_progress(parts, "comparing the logits", "row", len):
            batch = {key: tensor.to(device_of(model)) for key, tensor in Collator(pad_token_id)(part).items()}
            one = _target_logits(model, batch)
            with replaced(model, lora):
                other = _target_logits(model, batch)
            if len(one):
                change = max(change, (one - other).abs().max().item())
            equal += int((one.argmax(-1) == other.argmax(-1)).sum())
            positions += len(one)
    return Measured(base.loss, hybrid.loss, exported.loss, change, equal / positions, base.tokens, error)


def _target_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Return float32 logits (positions, vocabulary) at the positions followed by a target token."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    return logits[:, :-1][batch["labels"][:, 1:] != IGNORED].float()
