"""The families of base models, each as a tiny model with random weights: shapes and plumbing, never learning."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn

VOCABULARY = 48
CLASSES = 3
DEVIATION = 0.2  # of the weights: with the usual 0.02 a layer this narrow hardly changes the output


@dataclass(frozen=True)
class Family:
    """One kind of base model, in float32.

    Args:
        name: As it stands in the table.
        make: The model; the same weights at every call.
        inputs: A batch of two rows without labels, as the model takes it.
        labels: Labels for that batch; none where the model gives no loss.
        targets: Names of two kinds of linear layers, both in every block.
        head: A module beside the targets that is trained whole (`modules_to_save`), and that the output depends on.
        task: PEFT's task type, if the family has one.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, torch.Tensor]]
    labels: Callable[[], torch.Tensor] | None
    targets: list[str]
    head: str
    task: str | None = None

    @property
    def generates(self) -> bool:
        """Whether the model has `generate`."""
        return self.task in ("CAUSAL_LM", "SEQ_2_SEQ_LM")

    @property
    def takes_tokens(self) -> bool:
        """Whether the model takes token ids."""
        return "input_ids" in self.inputs()


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


def transformer(stem: str, head: str, **sizes: Any) -> Callable[[], nn.Module]:
    """A model of transformers, from its `{stem}Config` and `{stem}{head}`."""

    def build() -> nn.Module:
        config = getattr(transformers, f"{stem}Config")(**sizes)
        return getattr(transformers, f"{stem}{head}")(config)

    return seeded(build)


SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def llama_like(hidden: int, **changes: Any) -> dict[str, Any]:
    """Sizes by the names that Llama and those after it use."""
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "initializer_range": DEVIATION,
    }
    return {**sizes, **SPECIAL, **changes}


def decoder(name: str, stem: str, targets: list[str], sizes: dict[str, Any]) -> Family:
    """A decoder-only language model."""
    return Family(
        name,
        transformer(stem, "LMHeadModel" if stem == "GPT2" else "ForCausalLM", **sizes),
        tokens,
        lambda: tokens()["input_ids"],
        targets,
        "lm_head",
        task="CAUSAL_LM",
    )


def decoders() -> list[Family]:
    """The decoder-only models."""
    attention = ["q_proj", "v_proj"]
    gemma = {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8}
    gpt2 = {"vocab_size": VOCABULARY, "n_embd": 20, "n_layer": 2, "n_head": 2, "n_positions": 64, **SPECIAL}
    gpt2["initializer_range"] = DEVIATION
    opt = llama_like(12, ffn_dim=20, word_embed_proj_dim=12, init_std=DEVIATION)
    for key in ("intermediate_size", "num_key_value_heads", "initializer_range"):
        del opt[key]
    return [
        decoder("Llama", "Llama", attention, llama_like(20)),
        decoder("Qwen2", "Qwen2", attention, llama_like(16)),
        decoder("Qwen3", "Qwen3", attention, llama_like(12, head_dim=8)),
        decoder("Gemma 2", "Gemma2", attention, llama_like(16, **gemma)),
        decoder("Mistral", "Mistral", ["q_proj", "down_proj"], llama_like(16)),
        decoder("GPT-2", "GPT2", ["c_attn", "c_fc"], gpt2),
        decoder("GPT-NeoX", "GPTNeoX", ["query_key_value", "dense_h_to_4h"], llama_like(12, rotary_pct=1.0)),
        # not fc1, to which OPT passes all tokens of all rows as one: no adapter can mix rows there
        decoder("OPT", "OPT", ["q_proj", "out_proj"], opt),
        decoder("Phi", "Phi", ["q_proj", "fc2"], llama_like(16, num_key_value_heads=2, partial_rotary_factor=0.5)),
    ]


def encoders() -> list[Family]:
    """BERT, without a head and with two kinds of them."""
    sizes = {**llama_like(12), "type_vocab_size": 2}
    del sizes["num_key_value_heads"]

    def bert(name: str, stem: str, task: str, head: str, labels: Callable[[], torch.Tensor] | None) -> Family:
        own = {} if labels is None else {"num_labels": CLASSES}
        return Family(name, transformer("Bert", stem, **sizes, **own), tokens, labels, ["query", "value"], head, task)

    return [
        bert("BERT", "Model", "FEATURE_EXTRACTION", "layer.1.output", None),
        bert(
            "BERT, sequence classes", "ForSequenceClassification", "SEQ_CLS", "classifier", lambda: torch.tensor([0, 2])
        ),
        bert(
            "BERT, token classes",
            "ForTokenClassification",
            "TOKEN_CLS",
            "classifier",
            lambda: tokens()["input_ids"] % CLASSES,
        ),
    ]


def encoder_decoder() -> Family:
    """T5."""
    sizes = {"vocab_size": VOCABULARY, "d_model": 20, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    # T5 does not scale its attention: with 1, at this width, one rounding of the weights becomes 2000 in the output
    special["initializer_factor"] = 0.7
    answer = torch.arange(5, 17).view(2, 6)
    return Family(
        "T5",
        transformer("T5", "ForConditionalGeneration", **sizes, **special),
        lambda: {**tokens(), "decoder_input_ids": answer},
        lambda: answer,
        ["q", "v"],
        "lm_head",
        task="SEQ_2_SEQ_LM",
    )


def vision() -> Family:
    """A vision transformer with a head for classes of images."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    images = {"image_size": 8, "patch_size": 4, "num_labels": CLASSES, "initializer_range": DEVIATION}
    return Family(
        "ViT",
        transformer("ViT", "ForImageClassification", **sizes, **images),
        lambda: {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8).sin()},
        lambda: torch.tensor([0, 2]),
        ["q_proj", "fc1"],
        "classifier",
    )


class Mlp(nn.Module):
    """Layers of odd sizes, and no config, task, blocks or loss."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10, 20)
        self.second = nn.Linear(20, 7)
        self.third = nn.Linear(7, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., 10) -> (..., 2)."""
        out: torch.Tensor = self.third(self.second(self.first(x).relu()).tanh())
        return out


def plain_module() -> Family:
    """An MLP that knows nothing of transformers."""
    inputs = torch.linspace(-1, 1, 20).view(2, 10)
    return Family("nn.Module", seeded(Mlp), lambda: {"x": inputs}, None, ["first", "second"], "third")


FAMILIES: dict[str, Family] = {
    family.name: family for family in [*decoders(), *encoders(), encoder_decoder(), vision(), plain_module()]
}
