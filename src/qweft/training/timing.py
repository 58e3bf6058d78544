"""How long a run will take, from a few of its steps."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from transformers import set_seed

from qweft.adapter.attach import adapter_config, attach
from qweft.data.load import Data
from qweft.models.load import load_model
from qweft.training.config import RunConfig
from qweft.training.loop import fit

TIMED = 4
"""Steps; the first one or two are slower, and the median leaves them out."""


@dataclass(frozen=True)
class Timing:
    """What some steps took on this machine.

    Args:
        steps: Steps that were timed.
        step_seconds: Median wall time of one.
        peak_memory_bytes: Largest memory in use while they ran, of the whole process on a CPU.
        whole_seconds: All steps of the run and what came before the first; its evaluations and the loading of the model
            are not in it.
        basis_seconds: Finding the bases of an adapter that has fixed ones, once before the first step.
    """

    steps: int
    step_seconds: float
    peak_memory_bytes: int
    whole_seconds: float
    basis_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """For a table."""
        minutes, seconds = divmod(round(self.whole_seconds), 60)
        hours, minutes = divmod(minutes, 60)
        whole = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
        bases = [("time to find the bases", f"{self.basis_seconds:.2f} s")] if self.basis_seconds else []
        return [
            (f"time of a step (median of {self.steps})", f"{self.step_seconds:.2f} s"),
            *bases,
            ("time of all steps" + (" and the bases" if bases else ""), whole),
            ("memory: measured at its peak", f"{self.peak_memory_bytes / 2**20:,.0f} MiB"),
        ]


def time_steps(config: RunConfig, data: Data, steps: int) -> Timing:
    """Load the weights, train for a few steps on the run's own rows, and throw the result away.

    Args:
        config: The run.
        data: Its data.
        steps: Steps of the whole run.

    Raises:
        QweftError: If the model cannot be loaded, or the loss is not a number.
    """
    loaded = load_model(config.model)
    set_seed(config.training.seed)
    model = attach(loaded.model, adapter_config(config.adapter))
    timed = min(TIMED, steps)
    budget = replace(config.training, max_steps=timed)
    found = fit(model, data.train, loaded.tokenizer.pad_token_id, budget, "timing")
    assert found.step_seconds_median is not None  # it made steps
    whole = found.basis_seconds + found.step_seconds_median * steps
    return Timing(timed, found.step_seconds_median, found.peak_memory_bytes, whole, found.basis_seconds)
