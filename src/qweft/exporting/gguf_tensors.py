"""Names and layouts of GGUF tensors, and the GGUF file of a LoRA."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFReader, GGUFType, GGUFWriter, Keys
from gguf.tensor_mapping import TensorNameMap, get_tensor_name_map

from qweft.errors import QweftError
from qweft.exporting.config import GGUF_MODEL_TYPES, check_gguf_type
from qweft.exporting.lora import Lora

ARCHITECTURES = dict(zip(GGUF_MODEL_TYPES, (MODEL_ARCH.LLAMA, MODEL_ARCH.QWEN2), strict=True))
"""GGUF's architecture by the `model_type` of transformers."""
ROTATED_IN_PAIRS = {MODEL_ARCH.LLAMA: ("q_proj", "k_proj")}
"""Layers whose rows GGUF stores in another order, by architecture."""
TYPES = {torch.bfloat16: GGMLQuantizationType.BF16}
"""Types of GGUF that numpy does not have."""


@dataclass(frozen=True)
class Layout:
    """Names and orders of a model's tensors in GGUF files.

    transformers rotates coordinate i of a head together with i + d/2, and GGUF's llama 2i together with 2i + 1. So the
    rows of q and k are stored in another order there.

    Args:
        config: The model's config, of a type in `ARCHITECTURES`.
    """

    config: Any

    @property
    def architecture(self) -> MODEL_ARCH:
        """GGUF's architecture.

        Raises:
            QweftError: If it is not supported.
        """
        check_gguf_type(self.config.model_type)
        return ARCHITECTURES[self.config.model_type]

    def names(self) -> TensorNameMap:
        """Returns the names of all tensors."""
        return get_tensor_name_map(self.architecture, self.config.num_hidden_layers)

    def stored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Returns a tensor as GGUF stores it.

        Args:
            name: Name of its layer in transformers.
            tensor: (d_out, ...).
        """
        heads = self._heads(name)
        return tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2) if heads else tensor

    def restored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Returns a tensor of a GGUF file as transformers stores it; the inverse of `stored`."""
        heads = self._heads(name)
        return tensor.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2) if heads else tensor

    def _heads(self, name: str) -> int | None:
        """Returns the number of heads of a layer that is stored in another order; `None` for all others."""
        last = name.rpartition(".")[2]
        if last not in ROTATED_IN_PAIRS.get(self.architecture, ()):
            return None
        return int(self.config.num_attention_heads if last == "q_proj" else self.config.num_key_value_heads)


def opened(path: Path, layout: Layout, kind: str, name: str) -> GGUFWriter:
    """Returns a writer of a new file, with the general keys.

    Args:
        path: The file.
        layout: Layout of the model.
        kind: A value of `GGUFType`.
        name: Name of the model or the adapter.
    """
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[layout.architecture])
    writer.add_type(kind)
    writer.add_name(name)
    return writer


def add_tensor(writer: GGUFWriter, name: str, tensor: torch.Tensor) -> None:
    """Adds a tensor in its own type; the writer keeps it until `finish`."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype in TYPES:
        writer.add_tensor(name, tensor.view(torch.uint8).numpy(), raw_dtype=TYPES[tensor.dtype])
    else:
        writer.add_tensor(name, tensor.numpy())


def finish(writer: GGUFWriter) -> None:
    """Writes the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_adapter(path: Path, lora: Lora, config: Any, name: str, base: str) -> None:
    """Writes a LoRA as a GGUF file, which llama.cpp adds to any GGUF file of the base model.

    llama.cpp scales B A by alpha over the rank; both are equal here, since B contains the scaling.

    Args:
        path: The file.
        lora: The LoRA, without fully trained modules.
        config: The base model's config.
        name: Name of the adapter.
        base: Name of the base model.

    Raises:
        QweftError: If the architecture is not supported, or GGUF has no tensor for a layer.
    """
    layout = Layout(config)
    writer = opened(path, layout, GGUFType.ADAPTER, name)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, float(lora.rank))
    for layer, stored in stored_names(layout, lora.down).items():
        add_tensor(writer, f"{stored}.lora_a", lora.down[layer].float())
        add_tensor(writer, f"{stored}.lora_b", layout.stored(layer, lora.up[layer].float()))
    finish(writer)


def read_adapter(path: Path, lora: Lora, config: Any) -> Lora:
    """Returns the LoRA in a GGUF file, which `write_adapter` wrote of another.

    Args:
        path: The file.
        lora: The LoRA that was written, for the names of its layers.
        config: The base model's config.
    """
    layout, reader = Layout(config), GGUFReader(path)
    found = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    names = stored_names(layout, lora.down)
    down = {layer: found[f"{stored}.lora_a"] for layer, stored in names.items()}
    up = {layer: layout.restored(layer, found[f"{stored}.lora_b"]) for layer, stored in names.items()}
    return Lora(round(reader.fields[Keys.Adapter.LORA_ALPHA].contents()), down, up, {})


def stored_names(layout: Layout, layers: Mapping[str, Any]) -> dict[str, str]:
    """Returns GGUF's name of each layer's weight, "blk.0.attn_q.weight".

    Raises:
        QweftError: If GGUF has no tensor for a layer.
    """
    names = layout.names()
    found = {layer: names.get_name(f"{layer}.weight", (".weight",)) for layer in layers}
    lost = next((layer for layer, name in found.items() if name is None), None)
    if lost is not None:
        raise QweftError(
            f"layer {lost}: GGUF's {MODEL_ARCH_NAMES[layout.architecture]} has no such tensor; give --to lora"
        )
    return {layer: name for layer, name in found.items() if name is not None}
