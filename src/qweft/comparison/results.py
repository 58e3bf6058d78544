"""One run of a comparison as a record, and its JSON form."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from qweft.errors import QweftError
from qweft.files import finite

BASE = "base"
"""Name of the untouched base model among the methods."""


@dataclass(frozen=True)
class Run:
    """One method at one seed.

    Args:
        model: The base model's name.
        data: The data's source.
        method: Name of the method in the comparison; "base" is the untouched model.
        seed: Seed of the run.
        trainable_parameters: Numbers that the method trains.
        steps: Optimizer steps.
        train_loss: Training loss in nats a token; none for the base model, or where it is not a finite number.
        train_loss_curve: (step, loss) in the order of the steps.
        eval_loss: Held-out loss in nats a token; none where it is not a finite number (the run diverged).
        eval_perplexity: exp(eval_loss).
        step_seconds_median: Median wall time of a step; none for the base model.
        peak_memory_bytes: Largest memory of the run; none where it was not measured.
        learning_rate: Peak learning rate; none for the base model.
        eval_standard_error: Of eval_loss over the held-out rows, in nats.
        adapter: The adapter's specification, as in the configuration.
        answers: Each {"prompt", "reference", "generated"}.
        started: When the run began, ISO 8601 with time zone.
        seconds: Wall time of the whole run.
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

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, float) and not math.isfinite(value):
                object.__setattr__(self, entry.name, None)

    def to_json(self) -> dict[str, Any]:
        """The run as a dict that JSON can hold; numbers that are not finite become null."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Run":
        """The run that a dict from `to_json` holds; keys that this version does not know are left out.

        Args:
            record: One entry of "runs" in results.json.

        Raises:
            QweftError: A field is missing.
        """
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in record.items() if key in known}
        try:
            # A loss that was not finite was written as null; the curve keeps its step and shows a gap there.
            values["train_loss_curve"] = tuple(
                (int(step), math.nan if loss is None else float(loss)) for step, loss in values["train_loss_curve"]
            )
            values["answers"] = tuple(values.get("answers") or ())
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            name = f"{record.get('method')}, seed {record.get('seed')}"
            raise QweftError(f"results.json: the run ({name}) is not complete or not well formed: {error}") from error
