"""Which token comes next."""

import torch


class Sampler:
    """The most probable token, or one drawn.

    Args:
        temperature: 0 takes the most probable token; above it p^(1 / temperature), normalised, is drawn from.
        top_p: Drawn among the fewest tokens that have at least this probability together.
        seed: Of the draws.
    """

    def __init__(self, temperature: float, top_p: float, seed: int):
        self._temperature = temperature
        self._top_p = top_p
        # Drawn on the CPU, so that a seed gives the same answer wherever the model is.
        self._generator = torch.Generator().manual_seed(seed)

    def choose(self, logits: torch.Tensor) -> int:
        """The next token.

        Args:
            logits: (vocabulary,), of any type.
        """
        if self._temperature == 0:
            return int(logits.argmax())
        values = logits.detach().cpu().double()
        # The largest is 0 before it is divided: a tiny temperature then leaves 0 and -inf, and no inf - inf.
        shares, tokens = torch.softmax((values - values.max()) / self._temperature, -1).sort(descending=True)
        before = shares.cumsum(-1) - shares
        shares = shares.where(before < self._top_p, 0.0)
        return int(tokens[torch.multinomial(shares, 1, generator=self._generator)])
