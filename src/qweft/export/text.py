"""The text of an export: rows that circuits are fitted to, and rows that the outcome is judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.data.read import read_rows
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig, check_evaluation
from qweft.evaluation.saved import run_config, sections_of
from qweft.models.config import ModelConfig

HELD_OUT_SHARE = 4
"""Of text that brings no split of its own, every so many-th row is held out, up to the usual number."""


@dataclass(frozen=True)
class TextPlan:
    """Which text is read.

    Args:
        judged: The data whose held-out rows are judged on, and whose training rows are fitted on.
        calibration: Other text that is fitted on instead.
    """

    judged: DataConfig
    calibration: DataConfig | None


@dataclass(frozen=True)
class Text:
    """The rows.

    Args:
        judged_on: The source of the held-out rows.
        held_out: Rows that were neither trained on nor are fitted on.
        fitted_on: The source of the calibration rows.
        calibration: Rows that circuits are fitted to.
    """

    judged_on: str
    held_out: list[Encoded]
    fitted_on: str
    calibration: list[Encoded]


def plan_text(
    adapter: Path, calibration: str | None, overrides: Mapping[str, Any]
) -> tuple[ModelConfig, TextPlan, EvaluationConfig]:
    """Decide on the text: judged on is what the adapter was trained for, where a run says what that was.

    Args:
        adapter: The adapter's folder; its run is recorded beside it, or not.
        calibration: Text to fit on; none means the run's training rows.
        overrides: Keys of the sections model, data and evaluation that differ from the run.

    Raises:
        QweftError: If there is no text, or another split of the run's text is asked for, which would hold out rows that
            the adapter was trained on.
    """
    own, given = run_config(adapter).get("data", {}), overrides.get("data", {})
    if own and _same(given.get("source", own["source"]), own["source"]):
        _check_split(own, given)
    judged = given if own or calibration is None else {**given, "source": calibration}
    model, data, judging = sections_of(adapter, {**overrides, "data": judged})
    if not own:
        data = _sized(data, given)
    check_evaluation(judging, data)
    other = None
    if calibration is not None and not _same(calibration, data.source):
        other = replace(data, source=calibration, test_rows=0, validation_rows=0, train_rows=None)
    return model, TextPlan(data, other), judging


def load_text(plan: TextPlan, tokenizer: Any, split: str, tokens: int) -> Text:
    """Read the text; of the calibration rows the first, up to so many tokens, but two at least.

    Raises:
        QweftError: If a source cannot be read, or has too few rows.
    """
    data = load_data(plan.judged, tokenizer)
    fitted = data if plan.calibration is None else load_data(plan.calibration, tokenizer)
    held_out = data.test if split == "test" else data.validation
    return Text(plan.judged.source, held_out, (plan.calibration or plan.judged).source, _first(fitted.train, tokens))


def _same(one: str, other: str) -> bool:
    """Whether two sources are one, however a path is written."""
    paths = [Path(source).expanduser() for source in (one, other)]
    return one == other or (all(path.exists() for path in paths) and paths[0].samefile(paths[1]))


def _check_split(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Another split of the run's data would hold out rows that the adapter was trained on."""
    for key in ("test_rows", "validation_rows", "split_seed", "max_length", "overlong"):
        if given.get(key, own.get(key)) != own.get(key):
            raise QweftError(
                f"--data.{key} {given[key]} is another split than the run's ({own.get(key)}), and would hold out rows "
                "that the adapter was trained on; leave it out, or give other text with --data.source"
            )


def _sized(config: DataConfig, given: Mapping[str, Any]) -> DataConfig:
    """Held-out rows in proportion, where no run says how many there are to be."""
    if "test_rows" in given or "validation_rows" in given:
        return config
    held_out = min(DataConfig().test_rows, max(1, sum(1 for _ in read_rows(config.source)) // HELD_OUT_SHARE))
    return replace(config, test_rows=held_out, validation_rows=held_out)


def _first(rows: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """The first rows, up to so many tokens, but two at least."""
    taken: list[Encoded] = []
    for row in rows:
        tokens -= len(row["input_ids"])
        if len(taken) >= 2 and tokens < 0:
            break
        taken.append(row)
    return taken
