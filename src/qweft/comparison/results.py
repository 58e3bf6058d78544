"""`Run`: the record of one run of a comparison, and its JSON form."""

import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import BeforeValidator, TypeAdapter

from qweft.core.files import finite

BASE = "base"
"""Name of the untouched base model among the methods."""
LATE = 0.75
"""Share of the steps that `late_train_loss` leaves out."""
RowLosses = tuple[tuple[float, int], ...]
"""(sum of -log p in nats, number of target tokens) of each test row, in row order."""


Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number of JSON, where null stands for NaN or infinity."""
Count = Annotated[int, Ge(0)]
Amount = Annotated[float, Ge(0)]


@dataclass(frozen=True)
class Run:
    """One method at one seed; losses are in nats per token, `None` if NaN or infinite."""

    model: str
    data: str
    method: str
    seed: int
    trainable_parameters: Count
    steps: Count = 0
    train_loss: float | None = None  # mean over all steps; methods are compared by `late_train_loss`
    train_loss_curve: tuple[tuple[int, Number], ...] = ()  # (step, loss)
    eval_loss: Amount | None = None
    eval_perplexity: float | None = None
    step_seconds_median: Amount | None = None
    peak_memory_bytes: Count | None = None
    learning_rate: Amount | None = None
    eval_standard_error: float | None = None  # over the held-out rows, in nats
    adapter: dict[str, Any] | None = None  # as in the configuration, with the sizes of its preset
    answers: tuple[dict[str, str], ...] = ()  # each {"prompt", "reference", "generated"}
    started: str | None = None  # ISO 8601 with time zone
    seconds: Amount | None = None  # wall time of the whole run
    eval_row_losses: tuple[tuple[Number, int], ...] = ()  # of each test row
    eval_row_groups: tuple[int, ...] = ()  # rows of a group are dependent; empty if none are
    inspection: dict[str, Any] | None = None
    adapter_bytes: Count | None = None
    forgetting: dict[str, Any] | None = None  # loss on other data: {"source", "loss", "row_losses"}
    step_seconds_spread: Amount | None = None  # half the interquartile range over the median
    cpu_by_others: float | None = None  # share of the processors during the steps
    load_average: float | None = None
    failure: str | None = None  # "out of memory": why a trial has no loss, if it did not diverge

    def __post_init__(self) -> None:
        """Replace NaN and infinity by `None`."""
        for run_field in fields(self):
            value = getattr(self, run_field.name)
            if isinstance(value, float) and not math.isfinite(value):
                object.__setattr__(self, run_field.name, None)

    @property
    def late_train_loss(self) -> float | None:
        """Mean training loss of the last quarter of the steps, in nats per token; `None` if it diverged."""
        last_step = max((step for step, _ in self.train_loss_curve), default=0)
        late_losses = [loss for step, loss in self.train_loss_curve if step > LATE * last_step]
        if self.train_loss is None or not late_losses or not all(map(math.isfinite, late_losses)):
            return None
        return math.fsum(late_losses) / len(late_losses)

    @property
    def independent_losses(self) -> RowLosses:
        """`eval_row_losses` summed over each group of dependent rows: what statistics count as rows."""
        if not self.eval_row_groups or not self.eval_row_losses:
            return self.eval_row_losses
        sums: dict[int, tuple[float, int]] = {}
        for (loss, tokens), group in zip(self.eval_row_losses, self.eval_row_groups, strict=True):
            summed_loss, summed_tokens = sums.get(group, (0.0, 0))
            if tokens:  # a row without targets has no loss, and NaN in some records
                summed_loss += loss
            sums[group] = (summed_loss, summed_tokens + tokens)
        return tuple(sums.values())

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON-compatible dict; NaN and infinity become null."""
        record: dict[str, Any] = finite(asdict(self))
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Run":
        """Return the run that a dict from `to_json` holds. Unknown keys are ignored."""
        return _reader().validate_python(record)


@cache
def _reader() -> TypeAdapter[Run]:
    return TypeAdapter(Run)
