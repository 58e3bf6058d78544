"""One question of a comparison and its answer."""

from dataclasses import dataclass
from typing import Literal

Topic = Literal["circuit", "reference", "time", "size", "other", "fairness"]
Direction = Literal["lower", "higher", "not shown", "open"]


@dataclass(frozen=True)
class Finding:
    """One question of the comparison and its answer.

    Args:
        topic: "circuit" (does it help: all controls together, and with `other` each of them), "reference" (a hybrid
            against it), "time" (at equal wall-clock), "size" (against the LoRA of equal size), "other" (another method
            against the reference) or "fairness" (what the comparison did not control).
        method: The method in question; empty where the finding is on all.
        other: What it is held against; empty where that is nothing or more than one.
        direction: The method's held-out loss is "lower" or "higher"; "not shown"; or "open": there is no such run.
        text: The answer as a sentence or two.
        difference: Mean paired difference in percent, where the finding is on one.
        interval: Its 95% interval.
        p_value: Of the sign-flip test over seeds.
    """

    topic: Topic
    method: str
    other: str
    direction: Direction
    text: str
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
