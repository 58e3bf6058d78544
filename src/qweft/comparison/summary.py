"""What a comparison says of one method, over its seeds."""

from dataclasses import asdict, dataclass
from typing import Any

from qweft.comparison.method_kinds import Kind
from qweft.comparison.results import RowLosses


@dataclass(frozen=True)
class Forgotten:
    """One method on the other data.

    Args:
        source: These data.
        loss: Mean over seeds, nats a token.
        rise: The same less the base model's: what was forgotten; `None` for the base model, or without its run.
        standard_error: Of the rise over rows, which are the same for both models; `None` of a single row.
        deviation: Sample standard deviation of the loss over seeds; `None` of one seed.
    """

    source: str
    loss: float
    rise: float | None = None
    standard_error: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Summary:
    """One method over its seeds.

    Losses are nats a token, differences percent, ratios method / reference. None stands for what cannot be said:
    a spread of one seed, a loss of a run that diverged, a difference without the reference.

    Args:
        method: Name of the method.
        kind: What it is: "base", "lora", "hybrid", "no_circuit", "twin" or "other".
        core: The core between its maps ("quantum_linear"); `None` where it is not of this family.
        maps: The maps around its core, "mpo" or "dense"; `None` where it is not of this family.
        adapter: Its specification, with the rank that was chosen for it; `None` where it was not recorded.
        reference: The method that it is held against.
        seeds: Its seeds, ascending.
        rank: The adapter's rank, where its specification says it.
        learning_rate: Peak learning rate.
        steps: Optimizer steps, of the longest run where one diverged and stopped.
        matches_time: The method whose wall-clock time its runs were given; `None` where steps are what is equal.
        trainable_parameters: Numbers that it trains.
        parameter_difference: 100 * (its parameters - the reference's) / the reference's.
        train_loss: Mean over seeds.
        train_loss_deviation: Sample standard deviation over seeds.
        eval_losses: Held-out loss at each seed, in the order of `seeds`.
        eval_row_losses: What they are made of, added up over test rows that belong together; empty where it was not
            recorded.
        eval_loss: Mean over seeds; `None` where a run diverged.
        eval_loss_deviation: Sample standard deviation over seeds.
        perplexity: exp(eval_loss), of the mean loss.
        diverged: Seeds whose held-out loss is not a finite number.
        eval_loss_differences: 100 * (loss - reference's at the same seed) / reference's mean, by paired seed.
        eval_loss_difference: Their mean.
        eval_loss_difference_deviation: Their sample standard deviation.
        eval_loss_difference_interval: Both ends of its 95% interval, as `Pairing` has it.
        eval_loss_difference_p_value: Of the sign-flip test.
        step_seconds: Median over seeds of the median step.
        step_time_ratio: To the reference's.
        peak_memory_bytes: Median over seeds.
        memory_ratio: To the reference's.
        adapter_bytes: Size of the adapter's file of weights, median over seeds.
        forgetting: The loss on other data and its rise; `None` where it was not measured.
    """

    method: str
    kind: Kind
    core: str | None
    maps: tuple[str, str] | None
    adapter: dict[str, Any] | None
    reference: str
    seeds: tuple[int, ...]
    rank: int | None
    learning_rate: float | None
    steps: int
    matches_time: str | None
    trainable_parameters: int
    parameter_difference: float | None
    train_loss: float | None
    train_loss_deviation: float | None
    eval_losses: tuple[float | None, ...]
    eval_row_losses: tuple[RowLosses, ...]
    eval_loss: float | None
    eval_loss_deviation: float | None
    perplexity: float | None
    diverged: int
    eval_loss_differences: tuple[float, ...]
    eval_loss_difference: float | None
    eval_loss_difference_deviation: float | None
    eval_loss_difference_interval: tuple[float, float] | None
    eval_loss_difference_p_value: float | None
    step_seconds: float | None
    step_time_ratio: float | None
    peak_memory_bytes: float | None
    memory_ratio: float | None
    adapter_bytes: float | None = None
    forgetting: Forgotten | None = None

    def to_json(self) -> dict[str, Any]:
        """The summary as a dict that JSON can hold, without the losses of single rows: they stand in the runs."""
        return {key: value for key, value in asdict(self).items() if key != "eval_row_losses"}
