"""Checks that a base model predicts each token from the tokens before it, by its config and by its outputs."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import EnumType
from importlib import import_module
from importlib.util import find_spec
from inspect import getsource
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from qweft.errors import QweftError
from qweft.models.config import remote_code_allowed
from qweft.models.quantization import check_plain
from qweft.models.resolve import ModelSource
from qweft.text import cut, many, shown

TOKENS = 6
"""Tokens of each of the two texts that `check_outputs` compares."""
LEAK = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest change of earlier logits, relative to their spread, by type."""
COARSE_LEAK = 2e-2
"""The same for other types, and for layers that choose experts or round per tensor: rounding may depend on the text."""
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_decoder_layers")
"""Names of the number of layers in configs."""
MOST_LAYERS = 10_000
"""Most layers of a model; they are built before anything else is told, a thousand in seconds."""
MOST_LABELS = 1_000_000
"""Most labels of a classifier's config; transformers gives each a name, also where nothing is classified."""
LABELS = "num_labels"
QUANTISED = ("quantization_config", "compression_config")
"""Keys of settings of a quantisation."""
REPEAT, MAY_BE, REPEATED_GROUP = re.compile(r"[*+{]"), re.compile(r"(?<!\()\?"), re.compile(r"\)[*+{]")
"""Parts of a regular expression between which its match has a choice; a group that is repeated may hold others."""
VERBOSE = re.compile(r"\(\?[a-zA-Z]*x")
"""Where spaces and comments of an expression begin to stand for nothing, so that repeats cannot be told by the text."""
NUMBER = re.compile(r"(\[0-9\]|\\d)[*+]")
LONG_NAME, DIGITS, MOST_STEPS = 32, 4, 3 * 10**6
"""Characters of a layer's name, and of a number in it, and most steps of matching one with all expressions."""
WINDOWS = ("sliding_window", "attention_chunk_size", "layer_types", "kv_sharing_modes")
"""Keys by which transformers' cache keeps a part of the text only, also of a model that attends to all of it."""
NOT_MATCHED = ("dataset", "tokenizer")
"""Keys of a quantisation whose texts are no expressions."""
FETCHED = ("flash_attention", "deepgemm", "sonicmoe")
"""Parts of names for which transformers fetches a kernel from the hub, if the package kernels is installed."""
ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Tokens that a generation config names, of which transformers takes anything."""
WAY = "give a decoder (a model saved as ...ForCausalLM)"


def check_config(source: ModelSource, quantization: str | None = None) -> None:
    """Check that a model's config describes a decoder; cheap, as nothing but the config is read.

    Args:
        source: The model.
        quantization: How it is to be quantised.

    Raises:
        QweftError: The model is an encoder, an encoder-decoder, or no language model; or the config is damaged; or the
            model is to be quantised, and is already.
    """
    try:
        # Only the JSON: the config class of a model with code of its own would be run.
        config, _ = PretrainedConfig.get_config_dict(source.location, local_files_only=source.local)
    except Exception:
        return  # loading tells what is wrong with the file
    damage = _damage(config)
    if damage:
        raise QweftError(f"model {source.name}: {damage}; get its config.json anew")
    check_plain(quantization, source.name, config)
    kernel = _kernel(config)
    if kernel and not remote_code_allowed():
        raise QweftError(
            f"model {source.name}: its config.json names {shown(kernel)}, code of the hub that would run in place of "
            "its attention or experts; take that out of config.json, or give --trust-remote-code"
        )
    called = next((value for _, value in _values(config) if _is_called(value)), None)
    if called and not remote_code_allowed():
        raise QweftError(
            f"model {source.name}: its config.json names {shown(called['_type'])} of torchao, which is no setting of a "
            "quantisation and could run code; get its config.json anew"
        )
    reason = _reason(config)
    if reason:
        raise QweftError(f"model {source.name}: {reason}; {WAY}")


def _damage(config: Any) -> str | None:
    """Return what is wrong with a config that no model can have, before hours are spent on building it."""
    if not isinstance(config, Mapping):
        return f"its config.json is {shown(config)}, and an object was expected"
    kind = config.get("model_type")
    if not isinstance(kind, str | None):
        return f"model_type is {shown(kind)}, and a text was expected"
    weights = config.get("transformers_weights")
    if not isinstance(weights, str | None) or (weights and Path(weights).name != weights):
        return f"transformers_weights is {shown(weights)}, and weights are files of its folder"
    if any(isinstance(value, Mapping) and "attribute_map" in value for _, value in _values(config)):
        return "it has an attribute_map, by which other keys could stand for those that are checked"
    parts = [value for _, value in _values(config) if isinstance(value, Mapping)]  # of text_config and its like, too
    for part in parts:
        key = next((key for key, value in part.items() if not _is_possible(key, value)), None)
        if key is not None:
            most = MOST_LABELS if key == LABELS else MOST_LAYERS
            return f"{cut(key)} is {shown(part[key])}, and a model has 0 to {most:,}"
        if _layers_of(part.get("attention_types")) > MOST_LAYERS:
            return f"attention_types is {shown(part['attention_types'])}, and a model has 0 to {MOST_LAYERS:,} layers"
    expressions = [text for part in parts for key in QUANTISED for text in _texts(part.get(key))]
    slow = max(expressions, key=_steps, default="")
    if sum(map(_steps, expressions)) > MOST_STEPS:
        told = f"its quantisation has {shown(slow)}, an expression that may take hours on all names of layers"
        return f"{told} (write the names out there)"
    return None


def _is_possible(key: str, value: Any) -> bool:
    """Whether a value of a config is a number of layers or labels that a model can have, or neither of these."""
    if not isinstance(value, int) or not (key in (LABELS, *LAYERS) or key.endswith("layers")):
        return True
    # others than LAYERS may count from the last one
    return (value >= 0 or key not in LAYERS) and value <= (MOST_LABELS if key == LABELS else MOST_LAYERS)


def _layers_of(types: Any) -> int:
    """Return the number of layers that GPT-Neo's config lists, each item as names and how often they are repeated.

    An item without names counts as one with a single name: repeating nothing takes as long.
    """
    items = [each for each in types if isinstance(each, list) and len(each) > 1] if isinstance(types, list) else []
    sized = [(len(each[0]), each[1]) for each in items if isinstance(each[0], list | str | dict)]
    return sum(max(1, size) * max(0, count) for size, count in sized if isinstance(count, int))


def _texts(part: Any) -> Iterator[str]:
    """Yield each text of a part of a config, keys too, but for those that no layer's name is matched with."""
    part = {key: each for key, each in part.items() if key not in NOT_MATCHED} if isinstance(part, Mapping) else part
    for _, value in _values({"": part}):
        if isinstance(value, Mapping):
            yield from map(str, value)
        elif isinstance(value, str):
            yield value


def _steps(text: str) -> float:
    """Return about how many steps a name takes at most with a text as an expression, as which a quantisation reads it.

    With k repeats, m signs `?` and groups of b branches, none of which is repeated, these are n^k 2^m times all b for a
    name of n characters.
    """
    if REPEATED_GROUP.search(text) is not None or VERBOSE.search(text) is not None:
        return math.inf
    text, numbers = NUMBER.subn("", text)  # the number of a layer or an expert has few digits
    choices = [math.log(LONG_NAME) * len(REPEAT.findall(text)), math.log(2) * len(MAY_BE.findall(text))]
    choices.append(math.log(DIGITS) * numbers)
    return math.exp(min(sum(choices) + sum(math.log(1 + part.count("|")) for part in re.split(r"[()]", text)), 100))


def _values(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each value of a config, at any depth, with the name of the implementation that it is part of, or ""."""
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:  # no recursion: a stranger decides how deep it is
        name, value = waiting.pop()
        yield name, value
        if isinstance(value, Mapping):
            waiting += [(key if "implementation" in str(key) else name, each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]


def _kernel(config: Mapping[str, Any]) -> str | None:
    """Return the hub's kernel that a config asks for, at any depth; transformers fetches and runs it."""
    named = (value for name, value in _values(config) if name and isinstance(value, str))
    return next((value for value in named if _is_of_the_hub(value)), None)


def _is_called(found: Any) -> bool:
    """Whether a value of a config makes torchao call something else than a class of settings.

    torchao calls any name of its modules with what the config has, and takes any name of torch for a dtype.
    """
    if not isinstance(found, Mapping) or "_type" not in found or find_spec("torchao") is None:
        return False
    kind, data = found["_type"], found.get("_data")
    if kind == "torch.dtype":
        return not isinstance(data, str) or not isinstance(getattr(torch, data, None), torch.dtype)
    named = _of_torchao(kind) if isinstance(kind, str) else None
    if isinstance(named, EnumType):
        return not isinstance(data, str) or data not in named.__members__
    is_settings = isinstance(named, type) and (is_dataclass(named) or hasattr(named, "_fields"))
    return not is_settings or not named.__module__.startswith("torchao.")


def _of_torchao(name: str) -> Any:
    """Return what torchao finds by a name in a config; `None` if it finds nothing."""
    try:
        modules = import_module("torchao.core.config").ALLOWED_AO_MODULES
    except (ImportError, AttributeError):
        return None
    for module in modules:
        with suppress(ImportError, AttributeError):
            return getattr(import_module(module), name)
    return None


def _is_of_the_hub(implementation: str) -> bool:
    """Whether an implementation is OWNER/NAME, or has a name for which transformers fetches a kernel if it can."""
    is_fetched = any(name in implementation for name in FETCHED) and find_spec("kernels") is not None
    return "/" in implementation or is_fetched


def _reason(config: Mapping[str, Any]) -> str | None:
    """Return why a config describes no decoder; `None` if it does, or if transformers does not know its kind."""
    kind = config.get("model_type")
    named = config.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else str(kind)
    if config.get("is_encoder_decoder") is True:
        return f"{name} is an encoder-decoder, and here the prompt and the answer are one text"
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        decodes = config.get("is_decoder") or config.get("causal")  # XLM has the second
        if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or not decodes:
            return f"{name} is an encoder (is_decoder is not true): it would see the answers that it is to predict"
    if "auto_map" not in config and kind in CONFIG_MAPPING_NAMES and kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return f"{name} is no causal language model"
    return None


def check_found(model: Any, info: Mapping[str, Any], source: ModelSource, way: str) -> None:
    """Check that the files had all weights of the model; tell which of theirs it has no place for.

    Args:
        model: The model.
        info: What transformers says of loading it.
        source: Its source.
        way: What to do about files that are not whole.

    Raises:
        QweftError: One is missing, which transformers would initialise at random.
    """
    missing, left = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    name = type(model).__name__
    if missing:
        raise QweftError(
            f"model {source.name}: {len(missing)} weights are missing ({', '.join(missing[:3])}...); the files are not "
            f"whole, or belong to another architecture than {name}: {way}"
        )
    if left:
        from qweft.output import Console  # here, since a refusal needs no rich

        Console(stderr=True).say(
            f"note: the files of {source.name} have {many(len(left), 'tensor')} that {name} with their config.json has "
            f"no place for, and that are left out (first: {shown(left[0])})"
        )


def leave_out_windows(model: Any) -> None:
    """Take windows of attention out of the config of a model that has none.

    Llama attends to the whole text, whatever its config.json says of a `sliding_window`. transformers' cache would cut
    keys and values by it, so that answers came from another model than losses.

    Args:
        model: The base model; one of remote code is left as it is.
    """
    config = model.config.get_text_config()
    for key in unknown_windows(config, type(model)):
        setattr(config, key, None)


def unknown_windows(config: Any, model_class: type) -> list[str]:
    """Return the keys of windows that a config has and its model does not use.

    Such a key is named nowhere in the code of the model and its config; or it is a `sliding_window` that the config
    does not declare, and no mask is made of it.

    Args:
        config: The config of the text model.
        model_class: The model's class; of remote code none is returned.
    """
    if not all(each.__module__.startswith("transformers.") for each in (type(config), model_class)):
        return []
    found = [key for key in WINDOWS if vars(config).get(key) is not None]
    modules = {each.__module__ for each in (type(config), model_class)} if found else ()
    try:
        code = "".join(getsource(import_module(name)) for name in modules)
    except OSError:  # compiled files alone
        return []
    declared = {field.name for field in fields(config)} if is_dataclass(config) else set()
    masked = "sliding_window" in declared or "sliding_window_causal_mask" in code
    return [key for key in found if key not in code or (key == "sliding_window" and not masked)]


def check_ends(model: Any, source: ModelSource) -> None:
    """Check that the tokens by which answers begin and end are tokens.

    Raises:
        QweftError: The model's generation config names something else.
    """
    settings = getattr(model, "generation_config", None)
    for key in ENDS:
        named = getattr(settings, key, None)
        each = named if isinstance(named, list | tuple) else [named]
        if not all(one is None or (isinstance(one, int) and abs(one) < 2**31) for one in each):
            raise QweftError(
                f"model {source.name}: its generation_config.json has {key} {shown(named)}, and a token is a whole "
                "number; correct it there"
            )


@torch.no_grad()
def check_outputs(model: Any, source: ModelSource) -> None:
    """Check that the logits before the last token do not depend on it.

    Two texts that differ in the last token go through the model, which takes as long as generating two tokens. An
    encoder, a prefix LM, or a decoder with its causal mask taken out would see the answers that it is to predict.

    Args:
        model: The base model in evaluation mode.
        source: Its source, for the error.

    Raises:
        QweftError: They depend on it, or are NaN.
    """
    embeddings = model.get_input_embeddings().weight
    size = len(embeddings)
    ids = torch.arange(size // 2, size // 2 + TOKENS, device=embeddings.device)[None] % size
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + size // 3 + 1) % size
    mask = torch.ones_like(ids)
    # Each text alone, in one shape: then a decoder's rounding is the same for both.
    one, two = (model(input_ids=each, attention_mask=mask).logits[0, :-1].float() for each in (ids, other))
    if one.isnan().any() or two.isnan().any():
        raise QweftError(
            f"model {source.name}: its logits are not numbers (NaN) in {str(model.dtype).removeprefix('torch.')}; get "
            "its weights anew, or set model.dtype to float32 where they are larger than the type can hold"
        )
    change = (one - two).square().mean().sqrt() / one.std()
    is_quantized = getattr(model, "is_quantized", False)  # 8 bits choose columns of outliers by the whole text
    if change > (COARSE_LEAK if is_quantized else LEAK.get(model.dtype, COARSE_LEAK)):
        raise QweftError(
            f"model {source.name}: {type(model).__name__} is not causal: a later token changes the logits of earlier "
            f"ones (by {change:.2%} of their spread), so it would see the answers that it is to predict; {WAY}"
        )
