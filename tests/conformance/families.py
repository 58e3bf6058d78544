"""The families of base models, each as a tiny model with random weights: shapes and plumbing, never learning."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import nn

VOCABULARY = 48


@dataclass(frozen=True)
class Family:
    """One kind of base model.

    Args:
        name: As it stands in the table.
        make: The model; the same weights at every call.
        inputs: A batch of two rows without labels, as the model takes it.
        labels: Labels for that batch; none where the model gives no loss.
        targets: Names of the linear layers to adapt.
        task: PEFT's task type, if the family has one.
        head: A module that can be trained whole (`modules_to_save`), if there is one.
        generates: Whether the model has `generate`.
        embedding: Whether the model takes token ids.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, torch.Tensor]]
    labels: Callable[[], torch.Tensor] | None
    targets: list[str]
    task: str | None = None
    head: str | None = None
    generates: bool = False
    takes_tokens: bool = True
    tags: frozenset[str] = field(default_factory=frozenset)


def seeded(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """The same random weights at every call, whatever was drawn before, and nothing drawn from the caller's state."""

    def make() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build().eval()

    return make


def tokens() -> dict[str, torch.Tensor]:
    """Two rows of ten tokens, none of them padding."""
    ids = torch.arange(3, 23).view(2, 10) % VOCABULARY
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def decoder(name: str, stem: str, targets: list[str], **changes: Any) -> Family:
    """A decoder-only language model, from transformers' `{stem}Config` and `{stem}ForCausalLM`."""

    def build() -> nn.Module:
        config = getattr(transformers, f"{stem}Config")(**{**SIZES, **changes})
        return getattr(transformers, f"{stem}ForCausalLM")(config)

    return Family(
        name,
        seeded(build),
        tokens,
        lambda: tokens()["input_ids"],
        targets,
        task="CAUSAL_LM",
        head="lm_head",
        generates=True,
    )


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in [
        decoder("Llama", "Llama", ["q_proj", "v_proj"]),
        # TODO the others
    ]
}
