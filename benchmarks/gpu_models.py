"""Base models of random weights with adapters that share them, and the calls that are timed on a GPU.

Times do not depend on what the weights are, so nothing is downloaded: the shapes are those of SmolLM2-135M and of
Qwen2.5-7B (DeepSeek-R1-Distill-Qwen-7B has the same).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import qweft
from qweft import QwthnConfig
from qweft.circuit import crz_ring_ansatz, dense, engine
from qweft.circuit.alternating import alternating_form

MODULES = ["q_proj", "v_proj"]
PRESETS = tuple(qweft.presets())
RESERVE = 14 * 2**30
"""Bytes of a GPU kept for activations, logits and kernels when layers of a base model are counted out."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a base model and of its batch.

    Args:
        kind: Model type of transformers.
        sizes: Fields of its config.
        rows: Rows of a training batch.
        length: Tokens of a row.
        checkpoints: Whether training recomputes activations.
    """

    kind: str
    sizes: dict[str, Any]
    rows: int
    length: int
    checkpoints: bool = False

    @property
    def layers(self) -> int:
        """Number of layers of the whole model."""
        return int(self.sizes["num_hidden_layers"])

    def layer_bytes(self) -> int:
        """Bytes of a layer's weights in bfloat16."""
        hidden, inner = self.sizes["hidden_size"], self.sizes["intermediate_size"]
        narrow = hidden * self.sizes["num_key_value_heads"] // self.sizes["num_attention_heads"]
        return 2 * int(2 * hidden * hidden + 2 * hidden * narrow + 3 * hidden * inner)


SMALL = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
LARGE = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28}
SHAPES = {
    "135M": Shape(
        "llama", {**SMALL, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True}, 8, 512
    ),
    "7B": Shape("qwen2", {**LARGE, "num_key_value_heads": 4, "vocab_size": 152064}, 2, 1024, checkpoints=True),
}
TINY_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY = {
    "135M": Shape("llama", {**TINY_SIZES, "num_key_value_heads": 1, "vocab_size": 64}, 2, 16),
    "7B": Shape("qwen2", {**TINY_SIZES, "num_key_value_heads": 1, "vocab_size": 64}, 1, 16, checkpoints=True),
}
"""For a rehearsal on a CPU."""


def layers_that_fit(shape: Shape, free: int) -> int:
    """Return how many layers fit beside both embeddings and the reserve in so many free bytes, at least 1."""
    embeddings = 2 * 2 * int(shape.sizes["vocab_size"]) * int(shape.sizes["hidden_size"])
    return max(1, min(shape.layers, (free - RESERVE - embeddings) // shape.layer_bytes()))


def base_model(shape: Shape, device: torch.device, layers: int) -> Any:
    """Return the base model with random weights in bfloat16, made on the device."""
    config = AutoConfig.for_model(shape.kind, **{**shape.sizes, "num_hidden_layers": layers})
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.to(device).requires_grad_(False)


def config_of(kind: str, r: int, layers: int) -> Any:
    """Return the config of LoRA, or of a preset: with a tensor network at width 256 and bond 8, as on CPUs."""
    if kind == "lora_of_peft":
        return LoraConfig(r=r, lora_alpha=2 * r, target_modules=MODULES, init_lora_weights=False)
    changes: dict[str, Any] = {"r": r, "target_modules": MODULES, "init_weights": False}
    preset = QwthnConfig.preset(kind)
    if "mpo" in (preset.compress, preset.expand):
        changes |= {"width": 256, "bond_dimension": 8}
    if not preset.is_linear:
        changes["circuit_layers"] = layers
    return QwthnConfig.preset(kind, **changes)


def with_adapter(base: nn.Module, kind: str, r: int, layers: int) -> Any:
    """Return a model of its own with that adapter, whose base weights are those of `base`; "base" has no adapter."""
    shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
    model = copy.deepcopy(base, shared)
    return model if kind == "base" else get_peft_model(model, config_of(kind, r, layers))


def step_of(base: Any, shape: Shape, kind: str, r: int, layers: int) -> tuple[Callable[[], Any], int]:
    """Return one step (forward, backward, AdamW) and the bytes of what is trained with its optimizer's state.

    For "base" it is forward and backward to the input embeddings, and nothing is trained.
    """
    model = with_adapter(base, kind, r, layers).train()
    device = next(model.parameters()).device
    if shape.checkpoints:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(shape.sizes["vocab_size"], (shape.rows, shape.length), generator=generator).to(device)
    if kind == "base":
        embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
        return lambda: model(inputs_embeds=embeddings, labels=ids).loss.backward(), 0
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, 3 * sum(parameter.nbytes for parameter in trained)


def generation_of(base: Any, shape: Shape, kind: str, rows: int, tokens: int) -> Callable[[], Any]:
    """Return a call that generates so many tokens a row, greedily, with an unmerged adapter of r = 4, L = 4."""
    model = with_adapter(base, kind, 4, 4).eval()
    ids = torch.arange(rows * 16).view(rows, 16).remainder(shape.sizes["vocab_size"] - 1).add(1)
    ids = ids.to(next(model.parameters()).device)
    fixed = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    return lambda: model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **fixed)


def circuit_paths(qubits: int, tokens: int, device: torch.device) -> dict[str, Callable[[], Any]]:
    """Return forward and backward of a circuit with as many layers as qubits: by the engine here, and by PyTorch's."""
    circuit = crz_ring_ansatz(qubits, qubits)
    form = alternating_form(circuit)
    assert form is not None
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(tokens, qubits, generator=generator).to(device).requires_grad_()
    angles = torch.randn(circuit.parameters, generator=generator).to(device)
    rotations, diagonals = (tensor.detach().requires_grad_() for tensor in form.angles(angles))
    outer, uploads = torch.randn(tokens, qubits, generator=generator).to(device), form.uploads
    own = engine.kernels_for(qubits, device)

    def call(by_pytorch: bool) -> Callable[[], Any]:
        def run() -> Any:
            values = engine.run(engine.Blocks(uploads, dense if by_pytorch else own), inputs, rotations, diagonals)
            return torch.autograd.grad(values, [inputs, rotations, diagonals], outer)

        return run

    return {own.__name__.rpartition(".")[2]: call(False), "pytorch": call(True)}
