"""Checks of the evaluation section, before a model is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError
from qweft.core.reader import check_values
from qweft.data.checks import check_data_config, check_sources
from qweft.data.config import DataConfig
from qweft.data.read.location import check_source, may_share
from qweft.evaluation.config import EVERYWHERE, FORGETTING, EvaluationConfig
from qweft.evaluation.metrics import check_packages, metric_of
from qweft.evaluation.record import is_own_run, recorded_rows, run_config, sections_of, tell
from qweft.method.saved import check_saved
from qweft.models.checks import check_model
from qweft.models.config import ModelConfig

if TYPE_CHECKING:
    from rich.text import Text

    from qweft.data.load import Data

BELONGS = {"generated": "metrics", "lm_eval_limit": "lm_eval", **dict.fromkeys(FORGETTING[1:], FORGETTING[0])}
"""Settings that mean nothing without another one."""


def check_evaluation(evaluation: EvaluationConfig, data: DataConfig) -> None:
    """Check the values, and that they go with the data."""
    check_values(evaluation, "evaluation")
    rows = data.test_rows if evaluation.split == "test" else data.validation_rows
    if rows is not None and rows < 1:
        raise QweftError(f"data.{evaluation.split}_rows must be at least 1 to judge on the {evaluation.split} rows")
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
            check_source(evaluation.forgetting)
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
            raise QweftError(f"evaluation.{name} {given[name]} says nothing without evaluation.{owner}; give both")
    check_data_config(data)
    check_sources(data)
    check_elsewhere(judging)
    check_model(model)
    check_packages(judging.metrics)
    if judging.lm_eval:
        from qweft.evaluation.harness import check_harness

        check_harness(judging.lm_eval)
    return model, data, judging


def check_unseen(adapter: Path, overrides: Mapping[str, Any], data: "Data", split: str, tokenizer: Any) -> None:
    """Refuse to judge an adapter on rows that its run trained on."""
    from qweft.data.load import load_data

    given, own = overrides.get("data"), run_config(adapter).get("data")
    if not own or not is_own_run(adapter):  # a stranger's record does not choose what is read
        return
    compares = "name" not in overrides.get("model", {})  # another model may have another tokenizer
    if not given:
        if compares:
            _tell_changed(adapter, data, split)
        return
    run = DataConfig(**own)
    known = [*run.sources_of("train"), *run.sources_of(split)]
    if not any(may_share(one, other) for one in known for other in data.config.sources_of(split)):
        return
    try:
        before = load_data(run, tokenizer)
    except QweftError as error:
        tell(f"note: whether the adapter was trained on rows that it is judged on cannot be told ({error})")
        return
    if compares:
        _tell_changed(adapter, before, split)
    learned, own_rows = before.conversations["train"], before.conversations[split]
    groups, texts = {row.group for row in learned}, {row.messages for row in learned}
    held_out = {(row.group, row.messages) for row in own_rows}  # by the run's own split, which groups alone decide
    judged = data.conversations[split]
    seen = sum(
        (row.group in groups or row.messages in texts) and (row.group, row.messages) not in held_out for row in judged
    )
    if seen:
        options = " and ".join(f"--data.{name}" for name, value in given.items() if own.get(name) != value)
        raise QweftError(
            f"the adapter was trained on {seen:,} of the {len(judged):,} {split} rows, or on others of their groups, "
            f"as {options or 'the options for data'} split its run's data in another way; leave that out, or give "
            "other data with --data.source"
        )


def _tell_changed(adapter: Path, data: "Data", split: str) -> None:
    """Tell on the terminal that the rows that are judged are no longer those that the run held out."""
    before = recorded_rows(adapter, split)
    if before is not None and before != data.report.parts[split].fingerprint:
        tell(
            f"note: the rows of {data.config.source} are not those of the run (the data, the tokenizer or qweft itself "
            "have changed since), so the adapter may have been trained on some that it is judged on"
        )


@dataclass(frozen=True)
class Preview:
    """Lines that describe the work that a command would do."""

    lines: tuple[str, ...]

    def describe(self) -> "Text":
        """Return the lines for the terminal."""
        from rich.text import Text

        return Text("\n".join(self.lines))

    def to_json(self) -> dict[str, Any]:
        """Return the lines as JSON can hold them."""
        return {"dry_run": list(self.lines)}


def preview_evaluation(adapter: Path, overrides: Mapping[str, Any]) -> Preview:
    """Describe the work of `qweft evaluate`, after all checks that need no model."""
    model, data, judging = check_judging(adapter, overrides)
    places = [f"the {judging.split} rows of {data.source_of(judging.split)}"]
    if judging.forgetting is not None:
        places.append(f"{judging.forgetting_rows} rows of {judging.forgetting}")
    count = (judging.generated or "all") if judging.metrics else judging.answers
    by = f", scored by {', '.join(judging.metrics)}" if judging.metrics else ""
    tasks = [f"tasks of lm-evaluation-harness: {', '.join(judging.lm_eval)}"] if judging.lm_eval else []
    return Preview(
        (
            f"adapter {adapter} on {model.name}",
            *(f"loss without and with it on {place}" for place in places),
            f"answers to show or score: {count}, of at most {judging.max_new_tokens} tokens{by}",
            *tasks,
        )
    )


def check_judged_by_loss(evaluation: EvaluationConfig) -> None:
    """Check that only settings that a comparison uses differ from their defaults."""
    plain = EvaluationConfig()
    for name in vars(plain).keys() - {*EVERYWHERE, *FORGETTING}:
        if getattr(plain, name) != getattr(evaluation, name):
            raise QweftError(
                f"evaluation.{name}: a comparison judges by loss; run qweft evaluate OUTPUT/METHOD-SEED/adapter"
            )
