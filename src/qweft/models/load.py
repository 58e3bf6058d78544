"""Loading of a base model and its tokenizer, with the choice of device and type."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from qweft.core.errors import OutOfMemoryError, QweftError, memory_said
from qweft.core.text import progress
from qweft.models.causal import WAY, check_config, check_outputs, config_of
from qweft.models.config import ModelConfig, remote_code_allowed
from qweft.models.embedded import quiet
from qweft.models.quantization import keep_unpacked, mark_shapes, scheme
from qweft.models.resolve import ModelSource, check_device_name, check_weights, has_tokenizer, resolve


def choose_device(name: str) -> torch.device:
    """Return a device; "auto" is CUDA, else MPS, else the CPU; each worker has its own CUDA device, by LOCAL_RANK."""
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if name == "auto":
        name = next((kind for kind, count in counts.items() if count), "cpu")
    check_device_name(name)
    device = torch.device(name)
    count = counts.get(device.type, 1)
    if (device.index or 0) >= count:
        kind = device.type.upper()
        raise QweftError(f"device {name}: torch sees {count} {kind} devices on this machine; use auto or cpu")
    if name != "cuda":
        return device
    place = int(os.environ.get("LOCAL_RANK", "-1"))
    # A local rank beyond the visible devices means that the launcher gave this process its own device.
    return torch.device("cuda", place if 0 <= place < count else torch.cuda.current_device())


def choose_dtype(name: str, device: torch.device, source: ModelSource | None = None) -> torch.dtype:
    """Return a type; "auto" is bfloat16 where hardware computes in it (a CPU: if saved so too), else float32."""
    if name == "auto":
        if device.type == "cuda":  # by default torch also returns True for emulated bfloat16
            hardware = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            saved = (source and config_of(source)) or {}
            is_saved_so = "bfloat16" in (saved.get("dtype"), saved.get("torch_dtype"))
            hardware = device.type == "cpu" and cpu_computes_bfloat16() and is_saved_so
        return torch.bfloat16 if hardware else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def cpu_computes_bfloat16() -> bool:
    """Whether the processor has instructions that multiply in bfloat16, as far as this PyTorch tells."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


CausalLM: Any = AutoModelForCausalLM  # its stubs lack output_loading_info and from_config


@dataclass(frozen=True)
class LoadedModel:
    """A base model in evaluation mode."""

    model: Any
    tokenizer: Any
    source: ModelSource
    dtype: torch.dtype
    device: torch.device


def load_model(config: ModelConfig) -> LoadedModel:
    """Resolve and load the base model; on device "meta" only its shapes, which need no more than a config.json."""
    device = choose_device(config.device)
    source = resolve(config)
    dtype = choose_dtype(config.dtype, device, source)
    check_config(source, config.quantization)
    asked = None if config.quantization is None else scheme(config.quantization, dtype)
    if device.type == "meta":
        has_none = source.local and not has_tokenizer(Path(source.location))
        tokenizer = None if has_none else load_tokenizer(source)
        return LoadedModel(_shapes(source, dtype, asked), tokenizer, source, dtype, device)
    check_weights(source)
    tokenizer = load_tokenizer(source)
    model = keep_unpacked(_weights(source, dtype, device, asked)).eval()
    if tokenizer.pad_token_id >= len(model.get_input_embeddings().weight):  # it was added, and the model not resized
        tokenizer.pad_token = tokenizer.eos_token
    with _told(source, "it does not run"):  # by a config that is not its weights' own
        check_outputs(model, source)
    # a model of text and images has its numbers in its text config
    for settings in (model.config.get_text_config(), model.generation_config):
        if getattr(settings, "pad_token_id", None) is None:
            settings.pad_token_id = tokenizer.pad_token_id
    return LoadedModel(model, tokenizer, source, dtype, device)


def load_tokenizer(source: ModelSource) -> Any:
    """Return the tokenizer of a model, with padding on the right, by the end token if it has no pad token."""
    with _told(source, "its tokenizer cannot be loaded"), quiet():
        tokenizer: Any = AutoTokenizer.from_pretrained(source.location, **_arguments(source))
        tokenizer("a \u4e2d")  # some of its settings are looked at only now, and its token for unknown characters
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise QweftError(
                f"model {source.name}: the tokenizer has neither a pad nor an end token; set eos_token in its "
                f"tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _arguments(source: ModelSource) -> dict[str, bool]:
    """Return where files may come from, and whether code among them may run: transformers would ask on the terminal."""
    return {"local_files_only": source.local, "trust_remote_code": remote_code_allowed()}


def _shapes(source: ModelSource, dtype: torch.dtype, asked: Any) -> Any:
    """Build the model on the meta device, without memory for its weights."""
    with _told(source, "its config cannot be used"), quiet(), torch.device("meta"):
        config = AutoConfig.from_pretrained(source.location, **_arguments(source))
        model = CausalLM.from_config(config, dtype=dtype, trust_remote_code=remote_code_allowed()).eval()
        return model if asked is None else mark_shapes(model, asked)


def _weights(source: ModelSource, dtype: torch.dtype, device: torch.device, asked: Any) -> Any:
    """Load the weights onto a device; raise if one is missing, which transformers would initialise at random."""
    if source.local and (Path(source.location) / "adapter_config.json").is_file():
        raise QweftError(
            f"model {source.name}: an adapter is beside its weights, which transformers would put on it; keep the "
            "adapter in a folder of its own"
        )
    # each layer is quantised on the device before the next is read, so that the whole never needs its full size there
    quantized = {} if asked is None else {"quantization_config": asked, "device_map": {"": device}}
    options = {"dtype": dtype, "output_loading_info": True, "weights_only": True, **_arguments(source), **quantized}
    with _told(source, "its weights cannot be loaded"), quiet(), progress(f"loading {source.name}"):
        model, info = CausalLM.from_pretrained(source.location, **options)
        model = model if quantized else model.to(device)
    if missing := sorted(info["missing_keys"]):
        raise QweftError(
            f"model {source.name}: {len(missing)} weights are missing ({', '.join(missing[:3])}...); the files are not "
            f"whole, or belong to another architecture than {type(model).__name__}: {source.way}"
        )
    return model


UNKNOWN = "its architecture is none that transformers loads as a decoder", f"update transformers, or {WAY}"
TOLD = {
    "trust_remote_code": (
        "its folder holds Python code of its own, which is not run unasked",
        "read that code, then give --trust-remote-code",
    ),
    "weights_only": (
        "a .bin file is a pickle of more than tensors, which could run code",
        "convert it to safetensors where you trust it",
    ),
    "does not recognize this architecture": UNKNOWN,
    "Unrecognized": UNKNOWN,
}
"""By words of an error of transformers or torch, what is wrong and the way out."""


@contextmanager
def _told(source: ModelSource, what: str) -> Iterator[None]:
    """Raise what transformers raises in the block as one sentence, with its first line and a way out."""
    name, kind = f"model {source.name}", QweftError
    try:
        yield
    except QweftError:
        raise
    except Exception as fault:
        first = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        reason, way = next((told for words, told in TOLD.items() if words in str(fault)), (first, source.way))
        if (memory := memory_said(fault)) is not None:
            kind, what, reason = OutOfMemoryError, "the memory is too small", memory
            way = "load it with model.quantization or on another model.device, or choose a smaller model"
        raise kind(f"{name}: {what} ({reason[:300].rstrip('.')}); {way}") from fault


def checksum(model: Any) -> str:
    """Return a hash of the names of a model's weights and the exact sums of their bits as integers."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        (name, int(tensor.view(whole[tensor.element_size()]).sum(dtype=torch.int64)))
        for key, weight in model.named_parameters()
        for name, tensor in _parts(key, weight.detach())
    ]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def _parts(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a tensor with its name, or the tensors that one of torchao's consists of."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield name, tensor
    else:
        for part in flatten()[0]:
            yield from _parts(f"{name}.{part}", getattr(tensor, part))
