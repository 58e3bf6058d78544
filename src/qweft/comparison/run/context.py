"""`Context`: what all runs of a comparison share."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.run.workers import sleep
from qweft.core.environment import environment
from qweft.core.output import Console
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.models.load import LoadedModel
from qweft.training.loop import planned_steps


@dataclass
class Context:
    """One base model, one data set, one budget."""

    config: ComparisonConfig
    loaded: LoadedModel
    data: Data
    console: Console
    base_checksum: str
    elsewhere: Sequence[Encoded] = ()  # rows on which forgetting is measured
    takes_failures: bool = False  # a run without enough memory is an outcome
    cluster: Any = None  # `OnRay`, which makes the runs, if any

    @property
    def output(self) -> Path:
        """Folder of the runs."""
        return Path(self.config.output)

    @property
    def first_seed(self) -> int:
        """The seed at which the base model runs, answers are shown and adapters are inspected."""
        return min(self.config.seeds)

    @property
    def steps(self) -> int:
        """Steps of a whole training."""
        return planned_steps(self.config.training, self.data.train)

    @property
    def workers(self) -> int:
        """Number of runs that may be made at once."""
        return self.config.workers or 1 if self.cluster is None else int(self.cluster.workers)

    def environment(self, command: str) -> dict[str, Any]:
        """Return the environment record of results.json."""
        return environment(
            model_origin=self.loaded.source.origin,
            data_fingerprint=self.data.report.fingerprint,
            command=command,
            device=str(self.loaded.device),
            dtype=str(self.loaded.dtype).removeprefix("torch."),
        )

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return function(context, *arguments), called in a process that holds the base model's weights."""
        return function(self, *arguments) if self.cluster is None else self.cluster.call(self, function, *arguments)

    def wait(self) -> None:
        """Wait until a run of another process or actor may have ended."""
        if self.cluster is None:
            sleep()
        else:
            self.cluster.wait()

    def close(self) -> None:
        """Release the actors."""
        if self.cluster is not None:
            self.cluster.close()

    def fingerprint(self, decides: dict[str, Any]) -> str:
        """Return a hash of the model, the data, and whatever else determines a run's result."""
        shared: dict[str, Any] = {
            "model": [self.loaded.source.origin, str(self.loaded.dtype), self.loaded.device.type],
            "data": self.data.report.fingerprint,
        }
        return hashlib.sha256(json.dumps({**shared, **decides}, sort_keys=True, default=str).encode()).hexdigest()
