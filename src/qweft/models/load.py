"""Loading of a base model and its tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from qweft.core.errors import QweftError
from qweft.core.progress import progress
from qweft.models.causal import check_outputs
from qweft.models.checks import check_weights
from qweft.models.config import ModelConfig, remote_code_allowed
from qweft.models.device import choose_device, choose_dtype
from qweft.models.find import ModelSource
from qweft.models.folders import has_tokenizer
from qweft.models.loading_errors import explain_errors
from qweft.models.quantization import keep_unpacked, mark_shapes, quantization_scheme
from qweft.models.quiet import quiet
from qweft.models.resolve import resolve
from qweft.models.saved_config import check_config

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
    scheme = quantization_scheme(config.quantization, dtype)
    if device.type == "meta":
        tokenizer = None
        if not source.local or has_tokenizer(Path(source.location)):
            tokenizer = load_tokenizer(source)
        return LoadedModel(_build_shapes(source, dtype, scheme), tokenizer, source, dtype, device)
    check_weights(source)
    tokenizer = load_tokenizer(source)
    model = keep_unpacked(_load_weights(source, dtype, device, scheme)).eval()
    with explain_errors(source, "it does not run"):  # by a config that is not its weights' own
        check_outputs(model, source)
    _agree_on_padding(model, tokenizer)
    return LoadedModel(model, tokenizer, source, dtype, device)


def load_tokenizer(source: ModelSource) -> Any:
    """Return the tokenizer of a model, with padding on the right, by the end token if it has no pad token."""
    with explain_errors(source, "its tokenizer cannot be loaded"), quiet():
        tokenizer: Any = AutoTokenizer.from_pretrained(source.location, **_permissions(source))
        tokenizer("a \u4e2d")  # some of its settings are looked at only now, and its token for unknown characters
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is not None:
        return tokenizer
    if tokenizer.eos_token is None:
        raise QweftError(
            f"model {source.name}: the tokenizer has neither a pad nor an end token; set eos_token in its "
            "tokenizer_config.json"
        )
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _permissions(source: ModelSource) -> dict[str, bool]:
    """Return where files may come from, and whether code among them may run: transformers would ask on the terminal."""
    return {"local_files_only": source.local, "trust_remote_code": remote_code_allowed()}


def _build_shapes(source: ModelSource, dtype: torch.dtype, scheme: Any) -> Any:
    """Build the model on the meta device, without memory for its weights."""
    with explain_errors(source, "its config cannot be used"), quiet(), torch.device("meta"):
        config = AutoConfig.from_pretrained(source.location, **_permissions(source))
        model = CausalLM.from_config(config, dtype=dtype, trust_remote_code=remote_code_allowed()).eval()
        if scheme is not None:
            mark_shapes(model, scheme)
        return model


def _load_weights(source: ModelSource, dtype: torch.dtype, device: torch.device, scheme: Any) -> Any:
    """Load the weights onto a device; raise if one is missing, which transformers would initialise at random."""
    if source.local and (Path(source.location) / "adapter_config.json").is_file():
        raise QweftError(
            f"model {source.name}: an adapter is beside its weights, which transformers would put on it; keep the "
            "adapter in a folder of its own"
        )
    options = {"dtype": dtype, "output_loading_info": True, "weights_only": True, **_permissions(source)}
    if scheme is not None:
        # each layer is quantised on the device before the next is read: the whole never needs its full size there
        options |= {"quantization_config": scheme, "device_map": {"": device}}
    with explain_errors(source, "its weights cannot be loaded"), quiet(), progress(f"loading {source.name}"):
        model, info = CausalLM.from_pretrained(source.location, **options)
        if scheme is None:
            model = model.to(device)
    missing = sorted(info["missing_keys"])
    if missing:
        raise QweftError(
            f"model {source.name}: {len(missing)} weights are missing ({', '.join(missing[:3])}...); the files are not "
            f"whole, or belong to another architecture than {type(model).__name__}: {source.remedy}"
        )
    return model


def _agree_on_padding(model: Any, tokenizer: Any) -> None:
    """Make the model pad with the tokenizer's pad token, which must be one that the model has."""
    if tokenizer.pad_token_id >= len(model.get_input_embeddings().weight):  # it was added, and the model not resized
        tokenizer.pad_token = tokenizer.eos_token
    # a model of text and images has its settings in its text config
    for settings in (model.config.get_text_config(), model.generation_config):
        if getattr(settings, "pad_token_id", None) is None:
            settings.pad_token_id = tokenizer.pad_token_id
