"""What a saved adapter's folder and the record of its run say: the model, the data and the evaluation."""

import os
import shlex
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.records import is_own, read_record, typed_keys
from qweft.core.text import shorten
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.method.saved import check_folder, read_saved
from qweft.models.config import ModelConfig
from qweft.models.packages import embedded_model

SECTIONS = {"model": ModelConfig, "data": DataConfig, "evaluation": EvaluationConfig}
"""Sections that commands on an adapter take over from the record of its run."""
RECORD = "run.json"
"""File beside an adapter's folder with its run's full config and results."""
DAMAGED = "remove it and give --model.name and --data.source"


def run_record(adapter: Path) -> dict[str, Any]:
    """Return the record of the adapter's run, beside its folder; empty without one."""
    file = adapter.parent / RECORD
    return read_record(file, DAMAGED) if os.path.lexists(file) else {}


def is_own_run(adapter: Path) -> bool:
    """Return whether the record of the adapter's run was written by this user on this machine."""
    return is_own(run_record(adapter))


def run_config(adapter: Path) -> dict[str, dict[str, Any]]:
    """Return sections of the config that trained the adapter; empty without a record of its run."""
    file, config = adapter.parent / RECORD, run_record(adapter).get("config", {})
    if not isinstance(config, dict):
        raise QweftError(f"{file} is not a record of this program (config is no mapping of sections); {DAMAGED}")
    return {
        name: typed_keys(kind, config[name], file, DAMAGED, name) for name, kind in SECTIONS.items() if name in config
    }


def recorded_rows(adapter: Path, split: str) -> str | None:
    """Return the fingerprint of the rows that the run held out as "validation" or "test"; `None` if unknown."""
    try:
        return str(run_record(adapter)["data"]["parts"][split]["fingerprint"])
    except (LookupError, TypeError):
        return None


def sections_of(adapter: Path, overrides: dict[str, Any]) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    """Return the run's model, data and evaluation sections with overrides, without what `unasked` returns."""
    check_folder(adapter)
    saved = run_config(adapter)
    model, data = _model_section(adapter, saved, overrides), _data_section(saved, overrides)
    if data.get("source") is None and not data.get("sources"):
        raise QweftError(f"{adapter}: no run.json beside it says on which data to judge; give --data.source")
    evaluation = {**saved.get("evaluation", {}), **overrides.get("evaluation", {})}
    for name, wanted in unasked(saved, overrides).items():
        evaluation[name] = [each for each in evaluation[name] if each not in wanted]
    _check_places(adapter, data, evaluation, overrides)
    return ModelConfig(**model), DataConfig(**data), EvaluationConfig(**evaluation)


def model_of(adapter: Path, overrides: dict[str, Any]) -> ModelConfig:
    """Return the training run's model section, with overrides, for commands without data."""
    return ModelConfig(**_model_section(adapter, run_config(adapter), overrides))


def _data_section(saved: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the data section with overrides; one source stands in place of several, and the reverse."""
    given, own = overrides.get("data", {}), saved.get("data", {})
    data = {**own, **given}
    for name in own.keys() & given.keys():  # an option of a single key leaves the others, and {} none
        if isinstance(own[name], dict) and isinstance(given[name], dict) and given[name]:
            data[name] = {**own[name], **given[name]}
    for name, other in (("source", "sources"), ("sources", "source")):
        if given.get(name) not in (None, own.get(name)):  # what the run said of its source is not said of another
            of_the_old = {"test_source", "validation_source", "max_rows", other} - given.keys()
            data = {key: value for key, value in data.items() if key not in of_the_old}
    return data


def unasked(saved: dict[str, Any], overrides: dict[str, Any]) -> dict[str, list[str]]:
    """Return the evaluation settings of a run's record that can run code, and so must be asked for by an option."""
    recorded, given = saved.get("evaluation", {}), overrides.get("evaluation", {})
    metrics = [each for each in recorded.get("metrics", ()) if each == "verifier"]
    wanted = {"lm_eval": recorded.get("lm_eval"), "metrics": metrics}
    return {name: values for name, values in wanted.items() if values and name not in given}


def tell_unasked(adapter: Path, overrides: dict[str, Any]) -> None:
    """Say on the terminal what `unasked` returns, and which option asks for it."""
    for name, wanted in unasked(run_config(adapter), overrides).items():
        listed = shorten(",".join(wanted))
        tell(
            f"{adapter.parent / RECORD} also wants evaluation.{name} {listed}, which can run code and is left out; "
            f"give --evaluation.{name} {shlex.quote(listed)} to run it"
        )


def _check_places(adapter: Path, data: dict[str, Any], evaluation: dict[str, Any], overrides: dict[str, Any]) -> None:
    """Raise if another user's record names data sets that this machine would read."""
    if is_own_run(adapter):
        return
    several = data.get("sources")
    named = {f"--data.{name}": data.get(name) for name in ("source", "validation_source", "test_source")}
    if several:
        named |= {"--data.source": None, "--data.sources": ",".join(each["source"] for each in several)}
    named["--evaluation.forgetting"] = evaluation.get("forgetting")
    given = {f"--{section}.{name}" for section, values in overrides.items() for name in values}
    options = [
        f"{option} {shlex.quote(shorten(place))}"
        for option, place in named.items()
        if place and option not in given and not all(each.startswith("embedded:") for each in place.split(","))
    ]
    if options:
        raise QweftError(
            f"{adapter.parent / RECORD} was not written by you on this machine; for its data give {' '.join(options)}"
        )


def tell(line: str) -> None:
    """Print a line on the error stream."""
    from qweft.core.output import Console  # here, since a refusal needs no rich

    Console(stderr=True).say(line)


def _model_section(adapter: Path, saved: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    given, named = overrides.get("model", {}), read_saved(adapter).get("base_model_name_or_path")
    model = {**saved.get("model", {}), **given}
    if "name" not in model:
        if not named:  # of a model that was made from its config, PEFT writes ""
            raise QweftError(f"{adapter}: its adapter_config.json names no base model; give one with --model.name")
        model["name"] = named
    elif named and "name" not in given and not _is_same_model(named, model["name"]):  # the record is another run's
        raise QweftError(
            f"{adapter}: its adapter_config.json names the base model {shorten(named)}, and {adapter.parent / RECORD} "
            f"beside it {shorten(model['name'])}; give the one that it was trained on with --model.name"
        )
    return model


def _is_same_model(one: str, other: str) -> bool:
    """Whether two names are those of one base model: hub ids, aliases or folders."""
    known = [embedded_model(name) or name.lower() for name in (one, other)]
    paths = [os.path.realpath(os.path.expanduser(name.replace("\0", ""))) for name in (one, other)]
    return known[0] == known[1] or paths[0] == paths[1]
