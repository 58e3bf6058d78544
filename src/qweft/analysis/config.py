"""What an inspection may be told."""

from dataclasses import dataclass, field
from typing import Literal

from qweft.data.config import DataConfig
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class InspectionConfig:
    """The inspection of an adapter. Options change single keys of the run that trained it.

    Args:
        rows: So many rows of text run through the model; 8 unless given.
        split: Where they are from: "validation" or "test"; validation unless given.
        tokens: At most so many tokens of a layer are looked at, evenly spread over the rows; 256 unless given.
        output: A JSON file that all numbers of all layers are written to; none writes no file.
        model: The base model.
        data: The text.
    """

    rows: int = 8
    split: Literal["validation", "test"] = "validation"
    tokens: int = 256
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
