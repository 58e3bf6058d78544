"""`Summary`: the results of one method over its seeds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from qweft.comparison.method_kinds import Kind
from qweft.comparison.statistics import NO_PAIR, ONCE, Look, Pairing, RowLosses, pair


@dataclass(frozen=True)
class Forgotten:
    """One method's forgetting, measured on other data.

    `rise` is the loss minus the base model's; `None` for the base model, or without its run. Its standard error is over
    rows, paired with the base model's; `deviation` is the sample standard deviation of the loss over seeds.
    """

    source: str
    loss: float
    rise: float | None = None
    standard_error: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Summary:
    """One method over its seeds.

    Losses are in nats per token, differences in percent, costs medians over seeds.
    `None` stands for a missing value: a spread of one seed, a loss of a diverged run, a difference without the
    reference.

    Args:
        core: The core between its maps ("quantum_linear"); `None`, like `maps`, for adapters of other kinds.
        adapter: Its specification, with the rank that was chosen for it; `None` if not recorded.
        steps: Optimizer steps; the longest run's if one diverged and stopped.
        parameter_difference: 100 * (its parameters - the reference's) / the reference's.
        late_train_loss: Mean over seeds of the training loss over the last quarter of the steps.
        eval_losses: Held-out loss at each seed, in the order of `seeds`.
        eval_row_losses: Losses of the test rows at each seed, summed over groups of dependent rows.
        perplexity: exp(eval_loss), of the mean loss.
        diverged: Number of seeds whose held-out loss is NaN or infinity.
        difference: The differences to the reference, at all seeds that both have, alone: corrected for no others.
        cpu_by_others: Largest share of the processors that other processes took beside its steps; `None` if unknown.
        equivalent_within: The comparison's margin of equivalence in percent; `None` if none was stated.
        looks: How each question on the method is judged, by the other method's name.
        looks_made: The looks of the comparison at a growing number of seeds; empty if it looked once.
    """

    method: str
    kind: Kind
    core: str | None
    maps: tuple[str, str] | None
    adapter: dict[str, Any] | None
    reference: str
    seeds: tuple[int, ...]
    learning_rate: float | None
    steps: int
    trainable_parameters: int
    parameter_difference: float | None
    late_train_loss: float | None
    eval_losses: tuple[float | None, ...]
    eval_row_losses: tuple[RowLosses, ...]
    eval_loss: float | None
    eval_loss_deviation: float | None
    perplexity: float | None
    diverged: int
    difference: Pairing = NO_PAIR
    step_seconds: float | None = None
    cpu_by_others: float | None = None
    peak_memory_bytes: float | None = None
    adapter_bytes: float | None = None
    forgetting: Forgotten | None = None
    equivalent_within: float | None = None
    looks: Mapping[str, Look] = field(default_factory=dict)
    looks_made: tuple[Look, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON-compatible dict, without row losses: the runs hold them."""
        return {key: value for key, value in asdict(self).items() if key != "eval_row_losses"}


def paired(method: Summary, other: Summary, look: Look | None = None) -> Pairing:
    """Compare two methods with `pair`; without a look, as the family of questions says, or else uncorrected."""
    return pair(
        dict(zip(method.seeds, method.eval_losses, strict=True)),
        dict(zip(other.seeds, other.eval_losses, strict=True)),
        dict(zip(method.seeds, method.eval_row_losses, strict=True)),
        dict(zip(other.seeds, other.eval_row_losses, strict=True)),
        method.equivalent_within,
        look or method.looks.get(other.method, ONCE),
    )
