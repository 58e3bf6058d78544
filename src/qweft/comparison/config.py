"""Config dataclasses of `qweft compare` and `qweft tune`."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from qweft.core.schema import Count, Rate
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

MustShip = Literal["lora", "gguf", "merged"]


@dataclass(frozen=True)
class MethodConfig:
    """One method of a comparison.

    Args:
        adapter: As in a run: `preset` with fields of `QwthnConfig`, or `peft_type` with fields of that method's config.
        learning_rate: Peak learning rate of this method. `None` means the rate that `search` finds, or else the
            training section's.
        match_parameters: Name of another method. The rank is chosen so that the number of trainable parameters is
            nearest to that method's.
        rate_of: Name of another method whose learning rate this one uses.
        search_from: Learning rate at which this method's search begins; without a search, its learning rate. `None`
            means the training section's.
    """

    adapter: dict[str, Any]
    learning_rate: Rate | None = None
    match_parameters: str | None = None
    rate_of: str | None = None
    search_from: Rate | None = None


@dataclass(frozen=True)
class HalvingConfig:
    """Successive halving: short runs of all methods, longer ones of those that can still win, then the finalists.

    Runs are judged on the validation rows, at seeds that the comparison does not judge. After each rung a method is
    stopped if its loss, paired by row with the leader's, is significantly higher, or if it is not among the best that
    go on. The finalists make the runs of the comparison, with the last leader as the reference.

    Args:
        finalists: Most methods that are judged on the test rows, at least 2. `None` means no halving.
        rungs: Optimizer steps at each rung, ascending. `None` means a quarter and a half of those of the training.
    """

    finalists: Annotated[int, Ge(2)] | None = None
    rungs: list[Count] | None = None


@dataclass(frozen=True)
class ComparisonConfig:
    """Methods times seeds on one model and one data set: `qweft compare`, `qweft tune`.

    Args:
        model: The base model, the same for all methods.
        data: The text, in the same order for all methods at each seed.
        training: The budget, the same for all methods except for the learning rate.
        evaluation: How runs are evaluated.
        methods: The methods by name; the untouched base model is always added.
        seeds: Each method runs once per seed.
        reference: The method that the others are compared with.
        equivalent_within: Two methods count as equivalent if their losses differ by less than this many percent, by two
            one-sided tests at a level of 0.05 for all questions. State it before the runs. `None` asks for none.
        most_seeds: Add seeds until each question is decided, or at this number of seeds. Interim analyses are planned
            before the runs: at the number of `seeds`, at twice as many each time, and at the cap. `None` adds none.
        search: Before the runs, choose learning rates on the validation rows, for each method that sets none itself.
        rates: Learning rates that the search and `qweft tune` try for each method. `None` means a search by factors of
            two, from the method's own rate or the training section's.
        search_steps: Steps of each training in the search. `None` means those of the training section.
        search_seeds: Number of seeds over which the search averages the loss of a rate. `None` means 2, and 1 with
            `rates`. With `rates` they are the first of `seeds`; else they are seeds that are not among `seeds`.
        search_rates: Largest number of rates of a method in a search by factors of two, at least 3.
        halving: Stop methods that cannot win, before the runs that are judged. With `search`, each rung searches the
            rates of its methods, from those of the rung before.
        recommend: End in one sentence on which method to use, and copy its adapter to OUTPUT/winner. Its questions,
            the reference against each other method and each circuit against its controls, share one level of 0.05.
        budget: Most time and most trained parameters: 20min, 2h, "200k parameters", "20min,200k". Larger methods are
            left out. A time lowers the steps of the training to what measured step times allow, and needs `halving`.
        must_ship: Leave out, before any training, methods that do not leave Python in this format: lora (a LoRA file),
            gguf or merged. `None` leaves none out.
        inspect: After training at the first seed, measure what each adapter of this package does on validation rows.
        executor: `local` runs on this machine. `ray` runs on the Ray cluster at RAY_ADDRESS; without that variable, on
            a cluster of this machine.
        workers: Processes on this machine, or actors on the cluster. `None` means 1, or on a cluster one per GPU (one
            per machine without GPUs).
        output: Folder of the comparison.
    """

    methods: dict[str, MethodConfig]
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seeds: list[Annotated[int, Ge(0), Le(2**32 - 1)]] = field(default_factory=lambda: [0, 1, 2])
    reference: str = "lora"
    equivalent_within: Annotated[float, Gt(0), Le(50)] | None = None
    most_seeds: Count | None = None
    search: bool = False
    rates: list[Rate] | None = None
    search_steps: Count | None = None
    search_seeds: Count | None = None
    search_rates: Annotated[int, Ge(3)] = 12
    halving: HalvingConfig = field(default_factory=HalvingConfig)
    recommend: bool = False
    budget: str | None = None
    must_ship: MustShip | None = None
    inspect: bool = False
    executor: Literal["local", "ray"] = "local"
    workers: Count | None = None
    output: str = "runs/compare"
