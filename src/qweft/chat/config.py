"""How a trained adapter is talked to."""

import math
from dataclasses import dataclass, field

from qweft.errors import QweftError
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class ChatConfig:
    """Who answers, and how.

    Args:
        beside: Who answers next to the adapter: base, its base model without it; or the folder of another adapter of
            the same base model.
        system: The system message; none leaves it to the model's chat template.
        max_new_tokens: An answer is cut after so many tokens.
        temperature: 0 takes the most probable token each time; above 0 tokens are drawn, more evenly the higher it is.
        top_p: Draw among the fewest tokens that have this probability together; 1 draws among all.
        seed: Of the draws; the same questions in the same order get the same answers.
        model: The base model, where it differs from that of the run that trained the adapter.
    """

    beside: str | None = None
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)

    def check(self) -> None:
        """See that the numbers can be.

        Raises:
            QweftError: If one of them cannot.
        """
        if self.max_new_tokens < 1:
            raise QweftError(f"--max-new-tokens {self.max_new_tokens}: an answer has at least 1 token")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise QweftError(f"--temperature {self.temperature:g}: give 0 (no draws) or more, for example 0.7")
        if not 0 < self.top_p <= 1:
            raise QweftError(f"--top-p {self.top_p:g}: a probability above 0 and at most 1 is expected")
        if self.seed < 0:
            raise QweftError(f"--seed {self.seed}: give 0 or more")


@dataclass(frozen=True)
class PageConfig(ChatConfig):
    """The same on a page.

    Args:
        port: Port of this machine that the page is served on; 0 takes one that is free.
    """

    port: int = 7860

    def check(self) -> None:
        """As `ChatConfig.check`, and the port.

        Raises:
            QweftError: If a number cannot be.
        """
        super().check()
        if not 0 <= self.port < 65536:
            raise QweftError(f"--port {self.port}: ports are 0 to 65535")
