"""Options of `qweft chat`, `qweft ui` and `qweft serve`."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from qweft.core.schema import Count
from qweft.models.config import ModelConfig

Port = Annotated[int, Ge(0), Le(65535)]


@dataclass(frozen=True)
class ChatConfig:
    """The chat models and their generation.

    Args:
        beside: Second model to answer the same questions: base for the base model alone, or the folder of
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
    max_new_tokens: Count = 256
    temperature: Annotated[float, Ge(0)] = 0.0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    model: ModelConfig = field(default_factory=ModelConfig)


@dataclass(frozen=True)
class PageConfig(ChatConfig):
    """The options of `ChatConfig`, and the port of the page.

    Args:
        port: Local port of the page; 0 chooses a free one.
    """

    port: Port = 7860


@dataclass(frozen=True)
class ServeConfig:
    """The address of the server, and the base model.

    Args:
        host: Address to listen at. The default is this machine alone; there is no password.
        port: Port to listen at; 0 chooses a free one.
        model: The base model, where it differs from the training run.
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    model: ModelConfig = field(default_factory=ModelConfig)
