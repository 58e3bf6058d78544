"""A model judged as it would be used: dropout off, no gradients, and afterwards as it was before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def judged(model: torch.nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode without gradients, and each of its modules back into its own mode afterwards.

    Args:
        model: Any module. Some of its parts may be in evaluation mode while it trains; they stay so.
    """
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        # train() first: adapters drop what they cached for evaluation in it. The flags of parts that differ come after.
        model.train(before[0][1])
        for module, training in before:
            module.training = training


def device_of(model: torch.nn.Module) -> torch.device:
    """The device on which a model takes its token ids.

    Args:
        model: A transformers model, bare or with an adapter.
    """
    return next(model.parameters()).device
