"""Options of `qweft inspect`."""

from dataclasses import dataclass, field
from typing import Literal

from qweft.core.schema import Count
from qweft.data.config import DataConfig
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class InspectionConfig:
    """The inspection of an adapter. Options override single keys of the training run.

    Args:
        rows: Rows of text to run through the model; 8 unless given.
        split: Split of the rows: "validation" or "test"; validation unless given.
        tokens: Most tokens to measure in a layer, evenly spread over the rows; 256 unless given.
        dequantise: Replace the circuits by classical functions fitted to them on half of the rows, and say how much of
            the gain over the base model stays on the others; false unless given.
        output: JSON file for all numbers of all layers; without it no file is written.
        model: The base model.
        data: The text.
    """

    rows: Count = 8
    split: Literal["validation", "test"] = "validation"
    tokens: Count = 256
    dequantise: bool = False
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
