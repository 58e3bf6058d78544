"""Options of `qweft chat`."""

import math
from dataclasses import dataclass, field

from qweft.errors import QweftError
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class ChatConfig:
    """The chat models and their generation.

    Args:
        beside: Second model to answer side by side with the adapter: base for the base model alone, or the folder of
            another adapter of the same base model.
        system: The system message; by default that of the model's chat template.
        max_new_tokens: Most tokens of an answer.
        temperature: 0 always chooses the most probable token; above 0 tokens are sampled, more evenly the higher it is.
        top_p: Sample from the smallest set of tokens with at least this total probability; 1 samples from all.
        seed: Seed of the samples. The same questions in the same order get the same answers.
        model: The base model, where it differs from the training run.
    """

    beside: str | None = None
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)

    def check(self) -> None:
        """Check value ranges."""
        if self.max_new_tokens < 1:
            raise QweftError(f"--max-new-tokens {self.max_new_tokens}: an answer has at least 1 token")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise QweftError(f"--temperature {self.temperature:g}: give 0 (no draws) or more, for example 0.7")
        if not 0 < self.top_p <= 1:
            raise QweftError(f"--top-p {self.top_p:g}: a probability above 0 and at most 1 is expected")
        if not 0 <= self.seed < 2**63:
            raise QweftError(f"--seed {self.seed}: give 0 or more, below 2^63")
