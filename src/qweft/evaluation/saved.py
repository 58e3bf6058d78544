"""Loading a saved adapter: the config of its training run, and the base model with the adapter."""

import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from qweft.adapter.attach import quiet_peft
from qweft.adapter.folder import read_config
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.internals.torch import version
from qweft.method.checks import check_quick
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model
from qweft.output import Console
from qweft.records import is_own, read_record, typed_keys

SECTIONS = {"model": ModelConfig, "data": DataConfig, "evaluation": EvaluationConfig}
"""Sections that commands on an adapter take over from the record of its run."""
RUNS_CODE: dict[str, Callable[[str], bool]] = {"lm_eval": lambda _: True, "metrics": lambda name: name == "verifier"}
"""Evaluation settings of which some values can run code, each with a test of a value."""
PLACES = {"data": ("source", "file", "validation_source", "test_source"), "evaluation": ("forgetting",)}
"""Settings that name a file or a data set."""
DAMAGED = "remove it and give --model.name and --data.source"


def sections_of(adapter: Path, overrides: dict[str, Any]) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    """Return the training run's model, data and evaluation sections, with overrides.

    Without a run's record, the model's name comes from the adapter's config. What `unasked` returns is not taken from
    a record. Data sets are taken from a record that this user wrote here; of others, embedded ones only.

    Args:
        adapter: The adapter's folder.
        overrides: Settings by section.

    Raises:
        QweftError: If the folder holds no adapter, the model or the data are unknown, or the record cannot be read.
    """
    check_folder(adapter)
    saved = run_config(adapter)
    model = _model_section(adapter, saved, overrides)
    data = {**saved.get("data", {}), **overrides.get("data", {})}
    if "source" not in data:
        raise QweftError(f"{adapter}: no run.json beside it says on which data to judge; give --data.source")
    evaluation = {**saved.get("evaluation", {}), **overrides.get("evaluation", {})}
    for name, wanted in unasked(saved, overrides).items():
        evaluation[name] = [each for each in evaluation[name] if each not in wanted]
    _check_places(adapter, saved, overrides)
    return ModelConfig(**model), DataConfig(**data), EvaluationConfig(**evaluation)


def unasked(saved: dict[str, Any], overrides: dict[str, Any]) -> dict[str, list[str]]:
    """Return the evaluation settings of a run's record that can run code, and so must be asked for by an option.

    The record may be a stranger's. A task of lm-evaluation-harness names functions that are called, and a verifier may
    evaluate an answer as an expression.

    Args:
        saved: The config of the run, as `run_config` returns it.
        overrides: Settings by section; what they name is asked for.
    """
    found = saved.get("evaluation", {})
    wanted = {name: [each for each in found.get(name, ()) if runs(each)] for name, runs in RUNS_CODE.items()}
    given = overrides.get("evaluation", {})
    return {name: values for name, values in wanted.items() if values and name not in given}


def tell_unasked(adapter: Path, overrides: dict[str, Any]) -> None:
    """Say on the terminal what `unasked` returns, and which option asks for it."""
    for name, wanted in unasked(run_config(adapter), overrides).items():
        listed = ",".join(wanted)
        _tell(
            f"{_record(adapter)} also wants evaluation.{name} {listed}, which can run code and is left out; give "
            f"--evaluation.{name} {shlex.quote(listed)} to run it"
        )


def _check_places(adapter: Path, saved: dict[str, Any], overrides: dict[str, Any]) -> None:
    """Raise if another user's record names data sets that this machine would read."""
    found = {
        f"--{section}.{name}": saved.get(section, {}).get(name)
        for section, names in PLACES.items()
        for name in names
        if name not in overrides.get(section, {})
    }
    wanted = {option: place for option, place in found.items() if place and not place.startswith("embedded:")}
    if wanted and not is_own(read_record(_record(adapter), DAMAGED)):
        options = " ".join(f"{option} {shlex.quote(place)}" for option, place in wanted.items())
        raise QweftError(
            f"{_record(adapter)} was not written by you on this machine, so the data that it names are not read; to "
            f"read them give {options}"
        )


def _tell(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)


def check_folder(adapter: Path) -> None:
    """Check that the folder holds an adapter.

    Raises:
        QweftError: If the adapter's config or weights are missing.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise QweftError(f"{adapter}: no {name} in it; give the folder that an adapter was saved to")


def model_of(adapter: Path, overrides: dict[str, Any]) -> ModelConfig:
    """Return the training run's model section, with overrides, for commands without data.

    Args:
        adapter: The adapter's folder.
        overrides: Settings by section.

    Raises:
        QweftError: If the model is unknown, or the run's record cannot be read or was written by another version.
    """
    return ModelConfig(**_model_section(adapter, run_config(adapter), overrides))


def _model_section(adapter: Path, saved: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    model = {**saved.get("model", {}), **overrides.get("model", {})}
    if "name" not in model:
        named = read_config(adapter).base_model_name_or_path
        if named is None:
            raise QweftError(f"{adapter}: its adapter_config.json names no base model; give one with --model.name")
        model["name"] = named
    return model


def run_config(adapter: Path) -> dict[str, dict[str, Any]]:
    """Return sections of the config that trained the adapter, from run.json in the parent folder; empty without one.

    Only the keys of the sections model, data and evaluation are returned, each of its field's type.

    Raises:
        QweftError: If the record cannot be read, or was written by another version.
    """
    record = _record(adapter)
    if not os.path.lexists(record):
        return {}
    config = read_record(record, DAMAGED).get("config", {})
    if not isinstance(config, dict):
        raise QweftError(f"{record}: config is not a mapping of sections, so it is not the record of a run; {DAMAGED}")
    return {
        name: typed_keys(kind, config[name], record, DAMAGED, name) for name, kind in SECTIONS.items() if name in config
    }


def _record(adapter: Path) -> Path:
    return adapter.parent / "run.json"


Weights = list[tuple[torch.Tensor, int, int]]
"""Tensors of a model, each with its address and its version, which every write in place raises."""


def put_beside_base(loaded: LoadedModel, adapter: Path, so: str) -> Any:
    """Load an adapter as `put_on` does, unless that changes weights of the base model.

    Args:
        loaded: The base model.
        adapter: The adapter's folder.
        so: What follows from such a change, and the way out; it ends the error's sentence.

    Raises:
        QweftError: If the adapter does not load, or its loading changed weights of the base model.
    """
    before = weights_of(loaded.model)
    model = put_on(loaded, adapter)
    if changed(before, model):
        raise QweftError(f"{adapter}: this adapter changes the base model's own weights when it loads, so {so}")
    return model


@contextmanager
def base_model(before: Weights, model: Any, config: ModelConfig) -> Iterator[Any]:
    """Yield the base model without anything of an adapter.

    Disabling an adapter does not restore weights that its loading changed: embeddings and biases in its file, or a
    start that rewrites base weights (PiSSA). The base model is loaded again then.

    Args:
        before: The base model's `weights_of` before the adapter was loaded or attached.
        model: The model with the adapter.
        config: The base model.
    """
    if changed(before, model):
        yield load_model(config).model
    else:
        with model.disable_adapter():
            yield model


def weights_of(model: torch.nn.Module) -> Weights:
    """Return the tensors of a model, for `changed`."""
    tensors = chain(model.parameters(), model.buffers())
    return [(tensor, tensor.data_ptr(), version(tensor)) for tensor in tensors]


def changed(before: Weights, model: torch.nn.Module) -> bool:
    """Whether a base model's tensors were replaced or written since, where the adapted model may wrap its layers."""
    present = {id(tensor) for tensor in chain(model.parameters(), model.buffers())}
    return any(
        id(tensor) not in present or (tensor.data_ptr(), version(tensor)) != (place, written)
        for tensor, place, written in before
    )


def put_on(loaded: LoadedModel, adapter: Path) -> Any:
    """Load an adapter onto the base model and return the model in evaluation mode.

    The file may replace weights of the base model: PEFT saves embeddings, and some of its methods rewrite base weights.

    Args:
        loaded: The base model.
        adapter: The adapter's folder.

    Raises:
        QweftError: If the folder holds no adapter, or its file does not fit the model.
    """
    check_folder(adapter)
    check_quick(read_config(adapter), (name for name, _ in loaded.model.named_modules()))
    try:
        with quiet_peft():
            # for other methods PEFT only warns about missing keys, and the adapter would have no effect
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            return PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
    except QweftError:
        raise
    except Exception as error:  # PEFT's methods raise anything over a config that they do not check
        raise QweftError(f"{adapter}: the adapter does not load on {loaded.source.name}: {str(error)[:600]}") from error
