"""A saved adapter on its base model, beside held-out rows that it did not see."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper

from qweft.adapter.attach import quiet_peft
from qweft.adapter.loading import find_weights, read_config
from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.evaluation.checks import check_unseen
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.loss import check_room
from qweft.internals.torch import version
from qweft.method.saved import check_folder, file_key, shapes_in
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model

Weights = list[tuple[torch.Tensor, int, int, torch.Tensor | None]]
"""Tensors of a model, each with its address and its version, which every write in place raises, and perhaps a copy."""


@dataclass(frozen=True)
class Subject:
    """An adapter on its base model, and rows that it did not see."""

    adapter: Path
    model: Any
    loaded: LoadedModel
    data: Data
    judging: EvaluationConfig
    config: ModelConfig
    is_changed: bool

    @property
    def rows(self) -> list[Encoded]:
        """The rows to judge on."""
        return self.data.held_out(self.judging.split)

    @property
    def dtype(self) -> str:
        """Type of the base model's weights."""
        return str(self.loaded.dtype).removeprefix("torch.")

    def base(self) -> AbstractContextManager[Any]:
        """Yield the base model without the adapter inside a `with` block."""
        return base_model(self.is_changed, self.model, self.config)


def load_subject(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: ModelConfig,
    data_config: DataConfig,
    judging: EvaluationConfig,
) -> Subject:
    """Load an adapter's base model and held-out rows, check that it did not see them, and put it on the model."""
    loaded = load_model(config)
    # with one training row the others stay unread
    read = data_config if data_config.sources is not None else replace(data_config, train_rows=1)
    data = load_data(read, loaded.tokenizer)
    check_unseen(adapter, overrides, data, judging.split, loaded.tokenizer)
    check_room(loaded.model, data.held_out(judging.split))
    before = weights_of(loaded.model, adapter)
    model = put_on(loaded, adapter)
    subject = Subject(adapter, model, loaded, data, judging, config, changed(before, model))
    check_runs(model, loaded, adapter)
    return subject


def put_on(loaded: LoadedModel, adapter: Path) -> Any:
    """Load an adapter onto the base model, whose weights the file may replace; return it in evaluation mode."""
    check_folder(adapter)
    read_config(adapter)
    # SHiRA and FRoD read places in a matrix from the file; PyTorch writes there unseen unless it is asked to look
    torch.sparse.check_sparse_tensor_invariants.enable()
    try:
        with quiet_peft():
            # for other methods PEFT only warns about missing keys, and the adapter would have no effect
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            return PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
    except QweftError:
        raise
    except Exception as error:  # PEFT's methods raise anything over a config that they do not check
        raise QweftError(f"{adapter}: the adapter does not load on {loaded.source.name}: {str(error)[:600]}") from error


def put_beside_base(loaded: LoadedModel, adapter: Path, so: str) -> Any:
    """Load an adapter as `put_on` does, unless that changes weights of the base model."""
    before = weights_of(loaded.model, adapter)
    model = put_on(loaded, adapter)
    if changed(before, model):
        raise changes_the_base(adapter, so)
    return model


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


def weights_of(model: torch.nn.Module, adapter: Path | None = None) -> Weights:
    """Return the tensors of a model before an adapter is put on it, for `changed`."""
    keys = [] if adapter is None else shapes_in(find_weights(adapter))
    names = {file_key(key).replace(".base_layer.", ".") for key in keys}  # PEFT saves embeddings under either name
    copied = {id(weight) for name, weight in model.named_parameters(remove_duplicate=False) if name in names}
    return [
        (tensor, tensor.data_ptr(), version(tensor), tensor.detach().clone() if id(tensor) in copied else None)
        for tensor in chain(model.parameters(), model.buffers())
    ]


def changed(before: Weights, model: PeftModel) -> bool:
    """Whether a base model's tensors were replaced or written since, where the adapted model may wrap its layers."""
    # OLoRA's start writes to `.data` in place, which leaves a tensor's address and version as they were
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


def changes_the_base(adapter: Path, so: str) -> QweftError:
    """Return the error for an adapter that is no branch beside the base model, with what follows of it."""
    return QweftError(f"{adapter}: this adapter changes the base model's own weights when it loads, so {so}")


@contextmanager
def base_model(is_changed: bool, model: Any, config: ModelConfig) -> Iterator[Any]:
    """Yield the base model; it is loaded again where disabling an adapter leaves a trace."""
    configs = model.peft_config.values()
    has_prompt = any(each.is_prompt_learning or each.is_adaption_prompt for each in configs)
    is_kept = has_prompt and any(isinstance(module, ModulesToSaveWrapper) for module in model.modules())
    if is_changed or is_kept or any(getattr(each, "layer_replication", None) for each in configs):
        yield load_model(config).model
    else:
        with model.disable_adapter():
            yield model
