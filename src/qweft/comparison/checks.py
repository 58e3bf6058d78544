"""Checks of a comparison, before PyTorch is imported."""

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from qweft.comparison.config import ComparisonConfig, HalvingConfig
from qweft.comparison.judge.statistics import SEEDS_NEEDED
from qweft.comparison.results_file import OF_REPORT, check_free_of_others
from qweft.comparison.timing import budget_of
from qweft.core.errors import QweftError, require
from qweft.core.files import check_can_be_written
from qweft.core.reader import check_values
from qweft.core.text import many
from qweft.data.checks import check_data_config, check_sources
from qweft.evaluation.checks import check_elsewhere, check_evaluation, check_judged_by_loss
from qweft.method.checks import closest
from qweft.method.peft_methods import fields_of
from qweft.method.specification import check_names, check_on_quantized, check_specification, method_of
from qweft.models.checks import check_model
from qweft.models.folders import check_holds_no_model
from qweft.training.checks import check_training
from qweft.training.distributed import check_launch

LONG = 10**9
"""Number of steps of an adapter that is attached only to count its parameters."""
REWRITES = "it rewrites base weights, which the runs of a comparison share"
PROMPT = (
    "it puts trained tokens before the text (prompt learning), which the held-out loss and the generation of a "
    "comparison do not reckon with"
)
REFUSED = {
    "ADAPTION_PROMPT": "PEFT cannot take it off a model again, and the runs of a comparison share one",
    "FROD": "it is made from the base model's weights, and a comparison counts each method on shapes alone",
    "LILY": "it weighs its parts by all tokens of a batch, those to be predicted too, so its held-out loss is none",
    "MULTITASK_PROMPT_TUNING": "it needs a task number with each row",
    "POLY": "it needs a task number with each row",
    "SHADOW": "it adds a loss of its own to the training loss and a model of its own to the base model",
    "XLORA": "it mixes LoRA adapters that were trained before, and a comparison starts from none",
}
"""PEFT methods that cannot be compared, and why."""
REFUSED_FIELDS = {
    "inference_mode": "it trains nothing",
    "kasa_config": REWRITES,
    "modules_to_save": "it trains modules of the base model, which the runs share",
    "monteclora_config": "PEFT does not make all of its parameters on shapes alone, by which a comparison counts",
}
"""Fields of an adapter that cannot be compared, and why."""
REFUSED_STARTS = ("pissa", "olora", "loftq")
"""How the initialisations of LoRA begin that rewrite base weights."""
OTHERS = {"match_parameters": "size", "rate_of": "learning rate"}
"""Keys that name another method, and what they take from it."""


def check_start(config: ComparisonConfig, needs_weights: bool = False) -> None:
    """Check everything that can be checked before the model and the data are loaded."""
    check_launch()
    check_comparison(config)
    check_methods(config)
    check_elsewhere(config.evaluation)
    check_free_of_others(Path(config.output), "comparison", {"runs"}, OF_REPORT)
    check_places_of(config, needs_weights)


def for_search(config: ComparisonConfig) -> ComparisonConfig:
    """Return the config of a search alone: evaluated on the validation rows, without the runs of a comparison."""
    judging = replace(config.evaluation, split="validation", forgetting=None)
    alone = replace(config, evaluation=judging, search=False, inspect=False, most_seeds=None, budget=None)
    # no method is compared with another, so any may stand for the reference
    return replace(alone, halving=HalvingConfig(), reference=next(iter(config.methods), config.reference))


def check_places_of(config: Any, needs_weights: bool) -> None:
    """Check the data, the model, the executor and the output folder of a comparison."""
    check_data_config(config.data)
    if config.executor == "ray" and find_spec("ray") is None:
        require("ray", "ray", "--executor ray")
    check_can_be_written(Path(config.output))
    check_holds_no_model(Path(config.output))
    check_sources(config.data, config.output)
    check_model(config.model, needs_weights)


def check_comparison(config: ComparisonConfig) -> None:
    """Check the values, and what one asks of another."""
    check_training(config.training)
    check_evaluation(config.evaluation, config.data)
    check_judged_by_loss(config.evaluation)
    check_values(config, "")
    seeds = config.seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise QweftError(f"seeds must be different numbers, at least one, got {str(seeds)[:200]}")
    if config.rates == []:
        raise QweftError("rates must be at least one learning rate; leave it out for a search by factors of two")
    if config.most_seeds is not None and not SEEDS_NEEDED <= len(seeds) < config.most_seeds:
        raise QweftError(
            f"most_seeds (--until-decided) adds to at least {SEEDS_NEEDED} seeds and must be above their number, got "
            f"{config.most_seeds} and {many(len(seeds), 'seed')}"
        )
    if config.rates is not None and (config.search_seeds or 1) > len(seeds):
        raise QweftError(
            f"search_seeds must be at most the number of seeds ({len(seeds)}), on which given rates are tried, got "
            f"{config.search_seeds}"
        )
    _check_halving(config)
    uses = {"search": config.search, "halving": config.halving.finalists is not None, "inspect": config.inspect}
    for key in filter(uses.get, uses):
        if config.data.validation_rows == 0:
            raise QweftError(f"{key} needs validation rows; set data.validation_rows")
        if key != "inspect" and config.evaluation.split == "validation":
            raise QweftError(
                f"{key} would choose on the validation rows, on which evaluation.split validation judges; set "
                f"evaluation.split to test, or leave {key} out"
            )


def _check_halving(config: ComparisonConfig) -> None:
    """Check the halving and the budget."""
    rungs, has_time = config.halving.rungs, budget_of(config.budget).seconds is not None
    if config.halving.finalists is None:
        if rungs is not None:
            raise QweftError("halving.rungs needs halving.finalists: how many methods are judged on the test rows")
        if has_time:
            raise QweftError(
                f"budget {config.budget}: a time needs halving.finalists, 3 for example, as it sets the steps of the "
                "short runs before those that are judged"
            )
        return
    if len(config.methods) < 2:
        raise QweftError("halving stops methods, and there is one; leave halving out, or add a method")
    if rungs is None:
        return
    if not rungs or any(a >= b for a, b in pairwise(rungs)):
        raise QweftError(f"halving.rungs must be ascending numbers of steps, at least one, got {str(rungs)[:200]}")
    if has_time:
        raise QweftError(f"budget {config.budget}: a time sets the steps of all runs; leave halving.rungs out")


def check_methods(config: ComparisonConfig) -> None:
    """Check the methods as far as that is possible without a model."""
    methods = config.methods
    if not methods:
        raise QweftError("methods: a comparison needs at least one method")
    if config.reference not in methods:
        near = closest(config.reference, methods)
        raise QweftError(f"reference {config.reference!r} is not among the methods {', '.join(methods)}{near}")
    for name, method in methods.items():
        if name.casefold() in ("rung", "base") or not re.fullmatch(r"(?=.*\w)[\w.-]+", name):
            raise QweftError(
                f"methods.{name}: a name is letters, digits, - _ and ., and not base or rung, whose folders are others"
            )
        if method.learning_rate is not None and method.rate_of is not None:
            raise QweftError(f"methods.{name}: give either learning_rate or rate_of")
        for key, what in OTHERS.items():
            other = getattr(method, key)
            own = [entry for entry in methods if getattr(methods[entry], key) is None]
            if other is not None and other not in own:
                way = closest(other, own) or f"; give one of {', '.join(own)}"
                raise QweftError(f"methods.{name}.{key}: {other!r} is no method with a {what} of its own{way}")
        try:
            check_adapter(method.adapter)
            check_on_shared(method.adapter, config.model.quantization)
        except QweftError as error:
            raise refused(name, method.match_parameters, error) from error


def refused(name: str, to_match: str | None, error: QweftError) -> QweftError:
    """Return the error about a method's adapter, whose rank may be chosen to match another method."""
    matching = f" (its rank is to match {to_match})" if to_match else ""
    return QweftError(f"methods.{name}{matching}: {error}")


def check_on_shared(adapter: Mapping[str, Any], quantization: str | None) -> None:
    """Check that an adapter trains on a base model that is quantised, and can be taken off it for the next run."""
    check_on_quantized(adapter, quantization)
    if quantization is not None and method_of(adapter) == "IA3":
        raise QweftError(
            f"PEFT does not take IA3 off a base model with quantization {quantization}, which the runs share; leave "
            "one of the two out"
        )


def check_adapter(specification: Mapping[str, Any]) -> None:
    """Check the specification of a method's adapter."""
    check_names(specification)
    check_comparable(specification)  # first: check_specification may advise a start that is refused here
    check_specification(with_steps(specification, None))


def with_steps(specification: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """Return the specification. AdaLoRA, whose ranks follow a schedule over training, gets the number of steps."""
    given = dict(specification)
    if str(given.get("peft_type")).upper() == "ADALORA":
        if "total_step" in given:
            raise QweftError("total_step is the number of steps of the training in a comparison; leave it out")
        given["total_step"] = steps or LONG
    return given


def check_comparable(specification: Mapping[str, Any]) -> None:
    """Check that a method shares a base model and is judged by its held-out loss."""
    name = method_of(specification)
    is_prompt = "num_virtual_tokens" in fields_of(name)
    if reason := REFUSED.get(name, PROMPT if is_prompt else None):
        raise QweftError(f"{name} cannot be compared: {reason}; leave it out")
    start = specification.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(REFUSED_STARTS):
        raise QweftError(
            f"init_lora_weights {start!r} cannot be compared: {REWRITES}; leave it out, or choose gaussian or "
            "orthogonal"
        )
    for field, reason in REFUSED_FIELDS.items():
        if specification.get(field):
            raise QweftError(f"{field} cannot be compared: {reason}; leave it out")
