"""The bench that the runs of a comparison share."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.executors.base import Executor
from qweft.comparison.executors.local import Local
from qweft.comparison.methods import Method, check_comparison, resolve_methods
from qweft.data.load import Data, check_places, load_data
from qweft.data.tokens import Encoded
from qweft.evaluation.forgetting import other_rows
from qweft.files import check_writable
from qweft.models.load import LoadedModel, load_model


@dataclass
class Bench:
    """What all runs of a comparison share: one base model, one data set, one budget.

    The base model is loaded once; each run puts its adapter on it and takes it off again.
    """

    config: ComparisonConfig
    loaded: LoadedModel
    data: Data
    methods: list[Method]
    console: Console
    base_checksum: str
    executor: Executor = field(default_factory=Local)
    elsewhere: list[Encoded] = field(default_factory=list)
    """Rows of other data, on which forgetting is measured; none where it is not."""

    @property
    def output(self) -> Path:
        """The comparison's folder."""
        return Path(self.config.output)


def set_up(config: ComparisonConfig, console: Console) -> Bench:
    """Check everything, then load model and data.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    check_comparison(config)
    check_writable(Path(config.output))
    check_places(config.data)
    shapes = load_model(replace(config.model, device="meta")).model
    return load_bench(config, resolve_methods(config, shapes), console)


def load_bench(config: ComparisonConfig, methods: list[Method], console: Console) -> Bench:
    """Load model and data, both of which were checked.

    Raises:
        QweftError: If one of them cannot be loaded, or runs are to be made on a cluster that is not there.
    """
    if config.executor == "ray":
        from qweft.comparison.executors.on_ray import bench_on_ray  # here: it makes benches itself

        return bench_on_ray(config, methods, console)
    loaded = load_model(config.model)
    console.print(f"model {loaded.source.origin}, {loaded.dtype}, {loaded.device}", highlight=False)
    data = load_data(config.data, loaded.tokenizer)
    console.print(data.report.describe(), highlight=False)
    elsewhere = other_rows(config.evaluation, config.data, loaded.tokenizer)
    return Bench(config, loaded, data, methods, console, checksum(loaded.model), elsewhere=elsewhere)


def checksum(model: Any) -> str:
    """A hash of the names and the exact sums of a model's weights, read as whole numbers: what differs, shows."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        (name, int(tensor.detach().view(whole[tensor.element_size()]).sum(dtype=torch.int64)))
        for name, tensor in model.named_parameters()
    ]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def fingerprint(bench: Bench, decides: dict[str, Any]) -> str:
    """A hash of the model, the data, and what else decides what a run gives."""
    shared = {
        "model": [bench.loaded.source.origin, str(bench.loaded.dtype), bench.loaded.device.type],
        "data": bench.data.report.fingerprint,
    }
    return hashlib.sha256(json.dumps({**shared, **decides}, sort_keys=True, default=str).encode()).hexdigest()
