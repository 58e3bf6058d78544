"""`Run`: the record of one run of a comparison, and its JSON form."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from qweft.errors import QweftError
from qweft.files import finite
from qweft.text import shown

BASE = "base"
"""Name of the untouched base model among the methods."""

RowLosses = tuple[tuple[float, int], ...]
"""(sum of -log p in nats, number of target tokens) of each test row, in row order."""

FIELD_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "data", "method"), (str,)),
    **dict.fromkeys(("seed", "trainable_parameters", "steps"), (int,)),
    **dict.fromkeys(("train_loss", "eval_loss", "eval_perplexity", "step_seconds_median"), (int, float, type(None))),
    **dict.fromkeys(("peak_memory_bytes", "learning_rate", "eval_standard_error"), (int, float, type(None))),
    **dict.fromkeys(("step_seconds_spread", "cpu_by_others", "load_average"), (int, float, type(None))),
    **dict.fromkeys(("adapter", "budget", "inspection", "forgetting"), (dict, type(None))),
    "adapter_bytes": (int, type(None)),
    **dict.fromkeys(("started", "failure"), (str, type(None))),
    "seconds": (int, float, type(None)),
}
"""Allowed types of the record fields that are read without conversion."""
NEVER_NEGATIVE = (
    "trainable_parameters", "steps", "step_seconds_median", "step_seconds_spread", "peak_memory_bytes",
    "learning_rate", "adapter_bytes", "seconds", "eval_loss",
)  # fmt: skip
SAME_LOSS = 1e-3
"""Largest relative difference of a run's loss and the mean of its rows' losses; rounding makes 1e-9."""
LATE = 0.75
"""Share of the steps that `late_train_loss` leaves out."""


@dataclass(frozen=True)
class Run:
    """One method at one seed.

    Args:
        model: The base model's name.
        data: The data's source.
        method: Name of the method in the comparison; "base" is the untouched model.
        seed: Seed of the run.
        trainable_parameters: Number of trainable parameters.
        steps: Optimizer steps.
        train_loss: Training loss in nats per token, the mean over all steps; `None` for the base model, or if it is NaN
            or infinity. Methods are compared by `late_train_loss`.
        train_loss_curve: (step, loss) in the order of the steps.
        eval_loss: Held-out loss in nats per token; `None` if it is NaN or infinity (the run diverged).
        eval_perplexity: exp(eval_loss).
        step_seconds_median: Median wall time of a step in seconds; `None` for the base model.
        peak_memory_bytes: Peak memory of the run; `None` if it was not measured.
        learning_rate: Peak learning rate; `None` for the base model.
        eval_standard_error: Standard error of eval_loss over the held-out rows, in nats.
        adapter: The adapter's specification, as in the configuration, with the sizes of its preset.
        answers: Each {"prompt", "reference", "generated"}.
        started: Start time, ISO 8601 with time zone.
        seconds: Wall time of the whole run.
        eval_row_losses: Held-out loss of each test row; empty if not recorded.
        eval_row_groups: Group number of each row. Rows of a group are dependent: the windows of one conversation, the
            problems of one template. Empty if all rows are independent.
        budget: What the run was matched to: {"matches_time", "matches_parameters"}, each a method or `None`, and
            {"step_seconds", "basis_seconds"}, each [own, other] or `None`, and "cpu_by_others" while these were
            measured. `None` if nothing was matched.
        inspection: Measurements of the trained adapter; `None` without an inspection.
        adapter_bytes: Size of the adapter's weights file; `None` for the base model, or if no file was saved.
        forgetting: Loss on other data, which the run did not train on: {"source", "loss", "row_losses" as
            eval_row_losses}. `None` if it was not measured. Forgetting is its rise over the base model's loss.
        step_seconds_spread: Half the distance between the quartiles of the steps' times, over their median.
        cpu_by_others: Share of the processors that other processes took during the steps; `None` if not recorded.
        load_average: The system's load average after the steps; `None` if not recorded.
        failure: Why a trial of a sweep has no loss, if it did not diverge: "out of memory".
    """

    model: str
    data: str
    method: str
    seed: int
    trainable_parameters: int
    steps: int
    train_loss: float | None
    train_loss_curve: tuple[tuple[int, float], ...]
    eval_loss: float | None
    eval_perplexity: float | None
    step_seconds_median: float | None
    peak_memory_bytes: int | None
    learning_rate: float | None = None
    eval_standard_error: float | None = None
    adapter: dict[str, Any] | None = None
    answers: tuple[dict[str, str], ...] = ()
    started: str | None = None
    seconds: float | None = None
    eval_row_losses: RowLosses = ()
    eval_row_groups: tuple[int, ...] = ()
    budget: dict[str, Any] | None = None
    inspection: dict[str, Any] | None = None
    adapter_bytes: int | None = None
    forgetting: dict[str, Any] | None = None
    step_seconds_spread: float | None = None
    cpu_by_others: float | None = None
    load_average: float | None = None
    failure: str | None = None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, float) and not math.isfinite(value):
                object.__setattr__(self, entry.name, None)

    @property
    def late_train_loss(self) -> float | None:
        """Mean training loss over the last quarter of the steps, in nats per token.

        The mean over all steps is mostly about the first ones. `None` for the base model, and if the training diverged,
        its curve is not recorded, or no loss was logged of steps that all lie in that quarter.
        """
        steps = [0, *(step for step, _ in self.train_loss_curve)]
        first = math.floor(LATE * steps[-1])
        # an entry is the mean over the steps since the one before
        late = [
            (step - before, loss)
            for before, (step, loss) in zip(steps, self.train_loss_curve, strict=False)
            if before >= first
        ]
        whole = sum(weight for weight, _ in late)
        if self.train_loss is None or whole <= 0 or not all(math.isfinite(loss) for _, loss in late):
            return None
        return math.fsum(weight * loss for weight, loss in late) / whole

    @property
    def independent_losses(self) -> RowLosses:
        """`eval_row_losses` summed over each group of dependent rows; a bootstrap may resample them one by one."""
        if not self.eval_row_groups or not self.eval_row_losses:
            return self.eval_row_losses
        sums: dict[int, tuple[float, int]] = {}
        for (loss, tokens), group in zip(self.eval_row_losses, self.eval_row_groups, strict=True):
            before = sums.get(group, (0.0, 0))
            # a row without targets has no loss, and NaN in some records
            sums[group] = (before[0] + (loss if tokens else 0.0), before[1] + tokens)
        return tuple(sums.values())

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON-compatible dict; NaN and infinity become null."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Run":
        """Return the run that a dict from `to_json` holds. Unknown keys are ignored."""
        if not isinstance(record, dict):
            raise QweftError(f"results.json: a run must be a record of fields, got {shown(record)}")
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in record.items() if key in known}
        try:
            _check_types(values)
            # NaN keeps the step of a non-finite loss, so that the curve shows a gap there.
            values["train_loss_curve"] = tuple((int(step), number(loss)) for step, loss in values["train_loss_curve"])
            rows = values.get("eval_row_losses") or ()
            values["eval_row_losses"] = tuple((number(total), int(tokens)) for total, tokens in rows)
            values["eval_row_groups"] = tuple(values.get("eval_row_groups") or ())
            values["answers"] = tuple(dict(answer) for answer in values.get("answers") or ())
            _check_mean(values["eval_loss"], values["eval_row_losses"])
            return cls(**values)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            name = f"{str(record.get('method'))[:60]}, seed {str(record.get('seed'))[:60]}"
            raise QweftError(f"results.json: the run ({name}) is not complete or not well formed: {error}") from error


def _check_types(values: dict[str, Any]) -> None:
    for key, types in FIELD_TYPES.items():
        if key in values and (isinstance(values[key], bool) or not isinstance(values[key], types)):
            raise TypeError(f"{key} is {shown(values[key])}")
    for key in NEVER_NEGATIVE:
        if (values.get(key) or 0) < 0:
            raise ValueError(f"{key} is {shown(values[key])}, and it is at least 0")


def _check_mean(loss: float | None, rows: RowLosses) -> None:
    """Raise if a run's loss is not the mean over the tokens of its rows: one of the two was changed."""
    tokens = sum(count for _, count in rows)
    mean = math.fsum(total for total, count in rows if count) / tokens if tokens else math.nan
    if loss is not None and abs(loss - mean) > SAME_LOSS * max(loss, mean):  # false where a row's loss is NaN
        raise ValueError(f"eval_loss is {loss:.6g}, and its rows give {mean:.6g}")


def number(value: float | None) -> float:
    """Return a number from JSON, where null stands for NaN or infinity."""
    return math.nan if value is None else float(value)
