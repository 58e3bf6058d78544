"""A base model and its tokenizer, loaded in a type and on a device."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.models.embedded import quiet
from qweft.models.resolve import ModelSource, has_weights, resolve

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is CUDA, else MPS, else the CPU.

    Of several processes that accelerate started on a machine each has a CUDA device of its own, unless one is named by
    its number.

    Raises:
        QweftError: There is no such device, or this machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", _cuda_of_this_process())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as fault:
        raise QweftError(f"device {name}: unknown; use auto, cpu, cuda, cuda:1, mps or meta") from fault
    if device.type not in {"cpu", "cuda", "mps", "meta"}:
        raise QweftError(f"device {name}: not supported; use auto, cpu, cuda, cuda:1, mps or meta")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise QweftError(f"device {name}: torch sees {count} CUDA devices on this machine; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise QweftError(f"device {name}: torch sees no MPS device on this machine; use auto or cpu")
    return torch.device("cuda", _cuda_of_this_process()) if name == "cuda" else device


def _cuda_of_this_process() -> int:
    place = int(os.environ.get("LOCAL_RANK", "-1"))
    # a process that sees one device alone has been given it by whoever started it
    return place if 0 <= place < torch.cuda.device_count() else torch.cuda.current_device()


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a name; "auto" is bfloat16 on a CUDA device that computes it in hardware, else float32.

    The CPU always gets float32: where its bfloat16 is emulated it is tens of times slower.

    Raises:
        QweftError: There is no such type.
    """
    if name == "auto":
        # False: emulation does not count.
        hardware = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if hardware else torch.float32
    if name not in DTYPES:
        raise QweftError(f"dtype {name}: unknown; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


CausalLM: Any = AutoModelForCausalLM  # its stubs know neither output_loading_info nor from_config
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True)
class LoadedModel:
    """A base model in evaluation mode.

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer, with a pad token; none only on the meta device where a folder has no tokenizer.
        source: Where both came from.
        dtype: Type of the weights.
        device: Where the weights are.
    """

    model: Any
    tokenizer: Any
    source: ModelSource
    dtype: torch.dtype
    device: torch.device


def load_model(config: ModelConfig) -> LoadedModel:
    """Resolve and load the base model; on device "meta" its shapes alone, from a config.json alone.

    Raises:
        QweftError: The model is not found, has no weights or only some, is of an unknown architecture, or the device
            or type does not exist here.
    """
    device = choose_device(config.device)
    dtype = choose_dtype(config.dtype, device)
    source = resolve(config)
    if device.type == "meta":
        return LoadedModel(_shapes(source, dtype), _tokenizer_if_any(source), source, dtype, device)
    if source.local and not has_weights(Path(source.location)):
        raise QweftError(
            f"model {source.name}: the folder holds a config.json and no weights (*.safetensors, pytorch_model*.bin); "
            f"copy the weights there, or use device meta to work with the shapes alone"
        )
    tokenizer = load_tokenizer(source)
    model = _weights(source, dtype).to(device).eval()
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None and model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    return LoadedModel(model, tokenizer, source, dtype, device)


def load_tokenizer(source: ModelSource) -> Any:
    """Return the tokenizer of a model, padding on the right, with a pad token.

    A tokenizer without one pads with its end token. That is safe here and only here: `qweft.data` masks padding by
    length, never by the token's id, so the end of an answer is still learned.

    Raises:
        QweftError: There is no tokenizer, or it cannot be read.
    """
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(source.location, local_files_only=source.local)
    except Exception as fault:
        raise _fault(source, "its tokenizer cannot be loaded", fault) from fault
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise QweftError(
                f"model {source.name}: the tokenizer has neither a pad nor an end token; set eos_token in its "
                f"tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _tokenizer_if_any(source: ModelSource) -> Any:
    folder = Path(source.location)
    if source.local and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    return load_tokenizer(source)


def _shapes(source: ModelSource, dtype: torch.dtype) -> Any:
    """Build the model without memory for its weights."""
    try:
        with quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(source.location, local_files_only=source.local)
            return CausalLM.from_config(config, dtype=dtype).eval()
    except Exception as fault:
        raise _fault(source, "its config cannot be used", fault) from fault


def _weights(source: ModelSource, dtype: torch.dtype) -> Any:
    """Load the weights; a weight that is missing is an error, where transformers would start it at random."""
    try:
        with quiet():
            model, info = CausalLM.from_pretrained(
                source.location, dtype=dtype, local_files_only=source.local, output_loading_info=True
            )
    except Exception as fault:
        raise _fault(source, "its weights cannot be loaded", fault) from fault
    missing = sorted(info["missing_keys"])
    if missing:
        raise QweftError(
            f"model {source.name}: {len(missing)} weights are missing ({', '.join(missing[:3])}...); the files are not "
            f"whole, or belong to another architecture than {type(model).__name__}: copy or download them anew"
        )
    return model


def _fault(source: ModelSource, what: str, fault: Exception) -> QweftError:
    """Turn whatever transformers raised into one sentence with the first line of its reason."""
    reason = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
    way = (
        "check that the folder is whole"
        if source.local
        else "check the connection, or fill the hub cache and set HF_HUB_OFFLINE=1"
    )
    if "does not recognize this architecture" in str(fault) or "Unrecognized" in reason:
        way = "the installed transformers does not know this architecture: update it, or choose another model"
    return QweftError(f"model {source.name}: {what} ({reason[:300].rstrip('.')}); {way}")
