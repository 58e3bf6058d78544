"""Checks of the evaluation section, before a model is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qweft.data.checks import check_data_config, check_places, may_share
from qweft.data.config import DataConfig
from qweft.data.read import check_place
from qweft.errors import QweftError
from qweft.evaluation.config import EVERYWHERE, FORGETTING, EvaluationConfig
from qweft.evaluation.metric import check_packages, metric_of
from qweft.evaluation.record import sections_of
from qweft.method.saved import check_saved
from qweft.models.config import ModelConfig
from qweft.models.resolve import check_model
from qweft.schema import check_values

if TYPE_CHECKING:
    from rich.console import Group

BELONGS = {"generated": "metrics", "lm_eval_limit": "lm_eval", **dict.fromkeys(FORGETTING[1:], FORGETTING[0])}
"""Settings that mean nothing without another one."""


def check_evaluation(evaluation: EvaluationConfig, data: DataConfig) -> None:
    """Check the values, and that they go with the data."""
    check_values(evaluation, "evaluation")
    rows = data.test_rows if evaluation.split == "test" else data.validation_rows
    if rows is not None and rows < 1:
        raise QweftError(f"data.{evaluation.split}_rows must be at least 1 to judge on the {evaluation.split} rows")
    if evaluation.generated is not None and rows is not None and evaluation.generated > rows:
        raise QweftError(
            f"evaluation.generated is {evaluation.generated}, and there are {rows} {evaluation.split} rows; raise "
            f"data.{evaluation.split}_rows, or leave evaluation.generated out to answer all"
        )
    for name in evaluation.metrics:
        metric_of(name).check(data.source_of(evaluation.split))
    other = evaluation.forgetting
    if other is not None and not other.strip():
        raise QweftError("evaluation.forgetting is empty; name data that the adapter does not learn, or leave it out")
    if other is not None and any(may_share(other, each.source) for each in data.training_sources):
        raise QweftError(f"evaluation.forgetting {other} is what the adapter learned from; give other data")


def check_elsewhere(evaluation: EvaluationConfig) -> None:
    """Check that the data on which forgetting is measured are there."""
    if evaluation.forgetting is not None:
        try:
            check_place(evaluation.forgetting)
        except QweftError as error:
            raise QweftError(f"evaluation.forgetting: {error}") from error


def check_judging(adapter: Path, overrides: Mapping[str, Any]) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    """Check everything that can be checked before a saved adapter is evaluated; return the sections."""
    check_saved(adapter)
    model, data, judging = sections_of(adapter, dict(overrides))
    check_evaluation(judging, data)
    given = overrides.get("evaluation", {})
    for name, owner in BELONGS.items():  # of the options alone: a run's record may hold them for later
        default = getattr(EvaluationConfig, name)
        if given.get(name, default) != default and not getattr(judging, owner):
            raise QweftError(
                f"evaluation.{name} {given[name]} says nothing without evaluation.{owner}; give both, or leave it out"
            )
    check_data_config(data)
    check_places(data)
    check_elsewhere(judging)
    check_model(model)
    check_packages(judging.metrics)
    if judging.lm_eval:
        from qweft.evaluation.harness import check_harness

        check_harness(judging.lm_eval)
    return model, data, judging


@dataclass(frozen=True)
class Preview:
    """Lines that describe the work that a command would do."""

    lines: tuple[str, ...]

    def describe(self) -> "Group":
        """Return the lines for the terminal."""
        from rich.console import Group
        from rich.text import Text

        return Group(*map(Text, self.lines))

    def to_json(self) -> dict[str, Any]:
        """Return the lines as JSON can hold them."""
        return {"dry_run": list(self.lines)}


def preview_evaluation(adapter: Path, overrides: Mapping[str, Any]) -> Preview:
    """Describe the work of `qweft evaluate`, after all checks that need no model."""
    model, data, judging = check_judging(adapter, overrides)
    places = [f"the {judging.split} rows of {data.source_of(judging.split)}"]
    if judging.forgetting is not None:
        places.append(f"{judging.forgetting_rows} rows of {judging.forgetting}")
    lines = [f"adapter {adapter} on {model.name}"]
    lines += [f"loss without and with it on {place}" for place in places]
    count = (judging.generated or "all") if judging.metrics else judging.answers
    by = f", scored by {', '.join(judging.metrics)}" if judging.metrics else ""
    lines.append(f"answers to show or score: {count}, of at most {judging.max_new_tokens} tokens{by}")
    lines += [f"tasks of lm-evaluation-harness: {', '.join(judging.lm_eval)}"] if judging.lm_eval else []
    return Preview(tuple(lines))


def check_judged_by_loss(evaluation: EvaluationConfig) -> None:
    """Check that only settings that a comparison uses differ from their defaults."""
    plain = EvaluationConfig()
    for name in vars(plain).keys() - {*EVERYWHERE, *FORGETTING}:
        if getattr(plain, name) != getattr(evaluation, name):
            raise QweftError(
                f"evaluation.{name}: a comparison judges by loss and shows answers; leave it out, and score an adapter "
                f"of the comparison by qweft evaluate OUTPUT/METHOD-SEED/adapter --evaluation.{name}"
            )
