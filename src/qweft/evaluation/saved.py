"""Loading a saved adapter onto its base model."""

import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.utils import ModulesToSaveWrapper

from qweft.adapter import few_tokens
from qweft.adapter.attach import base_of, quiet_peft
from qweft.adapter.folder import find_weights, read_config, read_header
from qweft.errors import QweftError, giving_up_after
from qweft.evaluation.record import recorded_weights, tell
from qweft.internals.torch import version
from qweft.method.checks import check_quick
from qweft.method.peft_methods import OWN
from qweft.method.saved import check_folder, file_key
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, checksum, load_model
from qweft.text import many

SMALL_SIZE = 4096
"""Up to this size PEFT says itself that a file does not fit."""
SIZES = (
    "r", "init_r", "hybrid_r", "num_B", "u", "theta_d_length", "num_vectors", "vector_length", "n_tasks", "adapter_len",
    "shadow_intermediate_size",
)  # fmt: skip
"""Sizes in the configs of PEFT's methods that are those of a tensor in the file."""
PATIENCE = 8.0
"""Seconds that loading an adapter, or its model on one token, may take, besides reading the base model."""
READ = 1e8
"""Bytes of the base model that any disk reads in a second."""
DECOMPOSING = ("ADAMSS", "FROD", "OSF", "PSOFT", "TINYLORA")
"""PEFT's methods that decompose the base weights when they load."""
STARTS = ("pissa", "olora", "corda", "loftq")
"""Beginnings of `init_lora_weights` with which LoRA decomposes them, too."""
DECOMPOSED = 2e8
"""Sum of m n min(m, n), over weights m x n, that any processor decomposes in a second; a new core does 1e9 to 1e10."""
Weights = list[tuple[torch.Tensor, int, int, torch.Tensor | None]]
"""Tensors of a model, each with its address and its version, which every write in place raises, and perhaps a copy."""


def put_beside_base(loaded: LoadedModel, adapter: Path, so: str) -> Any:
    """Load an adapter as `put_on` does, unless that changes weights of the base model.

    Args:
        loaded: The base model.
        adapter: The adapter's folder.
        so: What follows from such a change, and the way out; it ends the error's sentence.

    Raises:
        QweftError: If the adapter does not load, or its loading changed weights of the base model.
    """
    before = weights_of(loaded.model, adapter)
    model = put_on(loaded, adapter)
    if changed(before, model):
        raise QweftError(f"{adapter}: this adapter changes the base model's own weights when it loads, so {so}")
    return model


@contextmanager
def base_model(is_changed: bool, model: Any, config: ModelConfig) -> Iterator[Any]:
    """Yield the base model without anything of an adapter.

    Disabling an adapter does not restore weights that its loading changed: embeddings and biases in its file, or a
    start that rewrites base weights (PiSSA). Nor does it give a model its own number of layers back that
    `layer_replication` repeated, or take out modules that were trained whole beside a prompt. The base model is loaded
    again then.

    Args:
        is_changed: What `changed` tells of its weights since before the adapter was loaded or attached.
        model: The model with the adapter.
        config: The base model.
    """
    configs = model.peft_config.values()
    has_prompt = any(each.is_prompt_learning or each.is_adaption_prompt for each in configs)
    is_kept = has_prompt and any(isinstance(module, ModulesToSaveWrapper) for module in model.modules())
    if is_changed or is_kept or any(getattr(each, "layer_replication", None) for each in configs):
        yield load_model(config).model
    else:
        with model.disable_adapter():
            yield model


def weights_of(model: torch.nn.Module, adapter: Path | None = None) -> Weights:
    """Return the tensors of a model, for `changed`.

    Args:
        model: The base model.
        adapter: An adapter that is to be loaded on it. Weights in its file are copied, since PEFT saves embeddings that
            it did not change, too.

    Raises:
        QweftError: The adapter's file cannot be read.
    """
    keys = set() if adapter is None else set(map(_plain, read_header(find_weights(adapter))))
    copied = {id(weight) for name, weight in model.named_parameters(remove_duplicate=False) if name in keys}
    return [
        (tensor, tensor.data_ptr(), version(tensor), tensor.detach().clone() if id(tensor) in copied else None)
        for tensor in chain(model.parameters(), model.buffers())
    ]


def changed(before: Weights, model: PeftModel) -> bool:
    """Whether a base model's tensors were replaced or written since, where the adapted model may wrap its layers.

    OLoRA's start writes to `.data` in place, which leaves a tensor's address and version as they were.
    """
    if any(str(getattr(each, "init_lora_weights", "")).lower() == "olora" for each in model.peft_config.values()):
        return True
    present = {id(tensor) for tensor in chain(model.parameters(), model.buffers())}

    def is_same(tensor: torch.Tensor, copy: torch.Tensor | None) -> bool:
        return copy is not None and copy.shape == tensor.shape and torch.equal(copy, tensor)

    return any(
        id(tensor) not in present
        or ((tensor.data_ptr(), version(tensor)) != (place, written) and not is_same(tensor, copy))
        for tensor, place, written, copy in before
    )


def _check_file(config: Any, adapter: Path) -> None:
    """Raise for a rank, or another size, that no tensor of the file has, since PEFT would first fill memory for it.

    Likewise for weights of SHiRA without their places.
    """
    if config.peft_type in (OWN, "LOKR"):  # ours checks its file itself; a rank of LoKr beyond its layer means none
        return
    header = read_header(find_weights(adapter))
    weights = [name for name in header if name.endswith(".shira_weight")]
    if any(name.replace("shira_weight", "shira_indices") not in header for name in weights):
        raise QweftError(
            f"{adapter}: its file lacks the places of its weights (shira_indices), which PEFT would draw anew"
        )
    patterns = getattr(config, "rank_pattern", None)
    ranks = [rank for rank in (patterns if isinstance(patterns, dict) else {}).values() if isinstance(rank, int)]
    sizes = {name: getattr(config, name, None) for name in SIZES} | {"rank_pattern": max(ranks, default=None)}
    name, size = max(((n, s) for n, s in sizes.items() if isinstance(s, int)), key=itemgetter(1), default=("", 0))
    most = max((size for tensor in header.values() for size in tensor.shape), default=0)
    if size > max(most, SMALL_SIZE):
        raise QweftError(
            f"{adapter}: its config has {name} {size:,}, and no tensor of its file has more than {most:,} rows or "
            "columns; load it with the adapter_config.json that it was trained with"
        )


def put_on(loaded: LoadedModel, adapter: Path) -> Any:
    """Load an adapter onto the base model and return the model in evaluation mode.

    The file may replace weights of the base model: PEFT saves embeddings, and some of its methods rewrite base weights.
    From then on PyTorch checks the places of all sparse tensors of the process. A line on the terminal says if the base
    model's weights are not those that the adapter was trained on.

    Args:
        loaded: The base model.
        adapter: The adapter's folder.

    Raises:
        QweftError: If the folder holds no adapter, or its file does not fit the model.
    """
    check_folder(adapter)
    _tell_changed(loaded, adapter)
    # SHiRA and FRoD read places in a matrix from the file; PyTorch writes there unseen unless it is asked to look
    torch.sparse.check_sparse_tensor_invariants.enable()
    with put_on_by_peft(loaded, read_config(adapter), adapter):
        # for other methods PEFT only warns about missing keys, and the adapter would have no effect
        warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
        model = PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
    _check_biases(model, adapter)
    _tell_left_out(model, adapter)
    return model


def _check_biases(model: Any, adapter: Path) -> None:
    """Raise for a config that trains biases and a file without one: PEFT tells of its own missing weights alone."""
    if getattr(model.active_peft_config, "bias", "none") == "none":
        return
    header = read_header(find_weights(adapter))
    known = get_peft_model_state_dict(model, save_embedding_layers=False)
    missing = sorted(key for key in known if key.endswith("bias") and key not in header)
    if missing:
        raise QweftError(
            f"{adapter}: its config trains biases ({model.active_peft_config.bias}), and its file lacks "
            f"{len(missing):,} of them (first: {missing[0][:200]}); get its file anew"
        )


def _tell_left_out(model: Any, adapter: Path) -> None:
    """Tell on the terminal that the file has tensors for layers that the model or the config does not have."""
    config = model.active_peft_config
    if config.peft_type == OWN:  # it refuses them
        return
    known = {*get_peft_model_state_dict(model, save_embedding_layers=False), *map(_plain, base_of(model).state_dict())}
    left = sorted(key for key in read_header(find_weights(adapter)) if not {key, _plain(key)} & known)
    if left:
        tell(
            f"note: the file of {adapter} has {many(len(left), 'tensor')} for which its config has no place on this "
            f"model; PEFT leaves them out (first: {left[0][:200]})"
        )


def _plain(key: str) -> str:
    """Return a base weight's key as the base model alone has it: PEFT saves embeddings under either name."""
    return file_key(key).replace(".base_layer.", ".")


def _tell_changed(loaded: LoadedModel, adapter: Path) -> None:
    """Tell on the terminal that the base model's weights are no longer those of the adapter's run."""
    found = recorded_weights(adapter)
    if found is None or hasattr(loaded.model.config, "quantization_config"):
        return
    *run, weights = found
    if run == [loaded.source.name, str(loaded.dtype)] and weights != checksum(loaded.model):
        tell(
            f"note: the weights of {loaded.source.name} have changed since {adapter} was trained on them, so it may do "
            "something else here"
        )


@contextmanager
def put_on_by_peft(loaded: LoadedModel, config: Any, adapter: Path) -> Iterator[None]:
    """Bound a block in which PEFT puts an adapter on a model, in time and memory; say in words what it raises.

    Args:
        loaded: The base model, perhaps its shapes alone.
        config: The adapter's config.
        adapter: Its folder.

    Raises:
        QweftError: Before the block, if the config is refused; else for any error of the block.
    """
    check_quick(config, (name for name, _ in loaded.model.named_modules()))
    _check_file(config, adapter)
    try:
        with quiet_peft(), _patience(loaded, adapter, "loads", _decomposing(loaded.model, config)):
            yield
    except QweftError:
        raise
    except Exception as error:  # PEFT's methods raise anything over a config that they do not check
        raise QweftError(f"{adapter}: the adapter does not load on {loaded.source.name}: {str(error)[:600]}") from error


def _patience(loaded: LoadedModel, adapter: Path, does: str, more: float = 0.0) -> AbstractContextManager[None]:
    """Return a block that PEFT's methods cannot keep busy for good: some loop as often as a config says."""
    size = sum(parameter.nbytes for parameter in loaded.model.parameters())
    seconds = PATIENCE + size / READ + more
    return giving_up_after(
        seconds,
        f"{adapter}: it takes longer than {seconds:.0f} s until the model {does} with this adapter; load it with the "
        "adapter_config.json that it was trained with or, if you trust it, with PEFT itself, which waits",
    )


def _decomposing(model: torch.nn.Module, config: Any) -> float:
    """Return the seconds in which any processor decomposes all layers of a model, if that is how an adapter loads."""
    start = str(getattr(config, "init_lora_weights", None)).casefold()
    by_start = start.startswith(STARTS) or getattr(config, "kasa_config", None) is not None
    if not by_start and config.peft_type not in DECOMPOSING:
        return 0.0
    layer: Any
    found = 0.0
    for layer in model.modules():
        if isinstance(getattr(layer, "in_features", None), int):  # the weight may be quantised and of another shape
            sizes = [getattr(layer, "out_features", layer.in_features), layer.in_features]
        else:
            sizes = list(getattr(getattr(layer, "weight", None), "shape", ()))
        if len(sizes) > 1:
            found += math.prod(sizes) * min(sizes[0], math.prod(sizes[1:]))
    return found / DECOMPOSED


def check_runs(model: Any, loaded: LoadedModel, adapter: Path) -> None:
    """Run a model with its adapter on one token: PEFT's methods use some values of a config only there, unchecked.

    Call it after `changed`: quantised layers may repack their weights when they first run.

    Args:
        model: The model, from `put_on`.
        loaded: The base model.
        adapter: The adapter's folder, for the error.

    Raises:
        QweftError: If it does not run.
    """
    if loaded.device.type == "cpu" and any(config.peft_type == OWN for config in model.peft_config.values()):
        few_tokens.available()  # compiles once and for all, which takes its time and is none of the adapter's
    try:
        with torch.no_grad(), _patience(loaded, adapter, "runs on one token"):
            model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=loaded.device))
    except QweftError:
        raise
    except Exception as error:
        raise QweftError(
            f"{adapter}: {loaded.source.name} does not run with this adapter ({type(error).__name__}: "
            f"{str(error)[:300]}); load it with the adapter_config.json that it was trained with"
        ) from error
