"""Compares an exported LoRA with its adapter on held-out text."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from qweft.data.tokens import Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.scores import CLEAR, HeldOutLoss, ratio
from qweft.exporting.lora import Lora, tuner_layers

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
    """Compare the losses of base model, adapter and LoRA; without a LoRA the adapter itself is exported."""
    hybrid = held_out_loss(model, rows, pad_token_id, batch_size)
    pairs = zip(base.rows, hybrid.rows, strict=True)
    error = ratio([(one - other, count) for (one, count), (other, _) in pairs])[1]
    exported = hybrid.loss
    if lora is not None:
        with replaced(model, lora):
            exported = held_out_loss(model, rows, pad_token_id, batch_size).loss
    return Measured(base.loss, hybrid.loss, exported, base.tokens, error)
