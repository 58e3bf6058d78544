"""A base model made ready to load: found, and prepared if it is embedded."""

import os
from dataclasses import replace

from qweft.models.config import ModelConfig
from qweft.models.find import ModelSource, find_model
from qweft.models.prepare import prepare
from qweft.models.quantization import QUANTIZATIONS


def resolve(config: ModelConfig) -> ModelSource:
    """Find a base model as `find_model` does, and prepare an embedded one."""
    source = find_model(config)
    if source.package is not None:
        folder = prepare(source.package)
        source = replace(source, location=os.fspath(folder), package=None)
    if config.quantization is None:
        return source
    return replace(source, origin=f"{source.origin}, {QUANTIZATIONS[config.quantization]}")
