"""Loading a saved adapter onto its base model."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper

from qweft.adapter.attach import quiet_peft
from qweft.adapter.folder import find_weights, read_config, read_header
from qweft.errors import QweftError
from qweft.evaluation.record import recorded_weights, tell
from qweft.internals.torch import version
from qweft.method.saved import check_folder, file_key
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, checksum, load_model

Weights = list[tuple[torch.Tensor, int, int, torch.Tensor | None]]
"""Tensors of a model, each with its address and its version, which every write in place raises, and perhaps a copy."""


def put_beside_base(loaded: LoadedModel, adapter: Path, so: str) -> Any:
    """Load an adapter as `put_on` does, unless that changes weights of the base model."""
    before = weights_of(loaded.model, adapter)
    model = put_on(loaded, adapter)
    if changed(before, model):
        raise changes_the_base(adapter, so)
    return model


def changes_the_base(adapter: Path, so: str) -> QweftError:
    """Return the error for an adapter that is no branch beside the base model, with what follows of it."""
    return QweftError(f"{adapter}: this adapter changes the base model's own weights when it loads, so {so}")


@contextmanager
def base_model(is_changed: bool, model: Any, config: ModelConfig) -> Iterator[Any]:
    """Yield the base model without anything of an adapter.

    Disabling an adapter does not restore weights that its loading changed: embeddings and biases in its file, or a
    start that rewrites base weights (PiSSA). Nor does it give a model its own number of layers back that
    `layer_replication` repeated, or take out modules that were trained whole beside a prompt. The base model is loaded
    again then.
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
    """Return the tensors of a model, for `changed`."""
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


def put_on(loaded: LoadedModel, adapter: Path) -> Any:
    """Load an adapter onto the base model and return the model in evaluation mode.

    The file may replace weights of the base model: PEFT saves embeddings, and some of its methods rewrite base weights.
    From then on PyTorch checks the places of all sparse tensors of the process. A line on the terminal says if the base
    model's weights are not those that the adapter was trained on.
    """
    check_folder(adapter)
    read_config(adapter)
    _tell_changed(loaded, adapter)
    # SHiRA and FRoD read places in a matrix from the file; PyTorch writes there unseen unless it is asked to look
    torch.sparse.check_sparse_tensor_invariants.enable()
    with put_on_by_peft(loaded, adapter):
        # for other methods PEFT only warns about missing keys, and the adapter would have no effect
        warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
        model = PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
    return model


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
def put_on_by_peft(loaded: LoadedModel, adapter: Path) -> Iterator[None]:
    """Say in one sentence what PEFT raises as it puts an adapter on a model."""
    try:
        with quiet_peft():
            yield
    except QweftError:
        raise
    except Exception as error:  # PEFT's methods raise anything over a config that they do not check
        raise QweftError(f"{adapter}: the adapter does not load on {loaded.source.name}: {str(error)[:600]}") from error


def check_runs(model: Any, loaded: LoadedModel, adapter: Path) -> None:
    """Run a model with its adapter on one token: PEFT's methods use some values of a config only there, unchecked."""
    try:
        with torch.no_grad():
            model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=loaded.device))
    except QweftError:
        raise
    except Exception as error:
        raise QweftError(
            f"{adapter}: {loaded.source.name} does not run with this adapter ({type(error).__name__}: "
            f"{str(error)[:300]}); load it with the adapter_config.json that it was trained with"
        ) from error
