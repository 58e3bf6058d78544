"""Options of `qweft export`."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt

from qweft.core.errors import QweftError
from qweft.core.schema import Count
from qweft.core.text import short_repr
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig

Target = Literal["lora", "gguf", "merged", "merged-gguf"]
"""What an export writes; each name is that of its default folder, too."""
TARGETS: tuple[Target, ...] = get_args(Target)
LORAS: tuple[Target, ...] = ("lora", "gguf")
"""Those of them that are a LoRA beside the base model."""
GGUF_MODEL_TYPES = ("llama", "qwen2")
"""Models, by the `model_type` of their config, that GGUF files are written for."""
GGUF_WAY = "give --to merged and convert that folder with llama.cpp's convert_hf_to_gguf.py"


@dataclass(frozen=True)
class ExportConfig:
    """The export of an adapter. Options of the three sections override single keys of the training run.

    Args:
        to: Format of the export. "lora": PEFT's, for all programs that load LoRA. "gguf": a LoRA for llama.cpp.
            "merged": the base model with the adapter in its weights, as transformers saves it. "merged-gguf": the same
            in one file, for llama.cpp and Ollama.
        calibration: Text to fit circuits and LoRAs on, in the form of data.source; by default the run's training rows.
            Losses are reported on held-out rows of the run. Without its run.json, rows of this text are held out.
        calibration_tokens: Most calibration tokens; 16384 unless given.
        largest_lost_share: Refuse the export if it loses more than this share of the adapter's gain over the base model
            in held-out loss; 0.1 unless given.
        rank: Rank of the LoRA. By default that of an adapter that is one or has one; of others the smallest power of
            two that keeps `keep_share` of the gain on calibration text.
        keep_share: Share of the adapter's gain that a LoRA of that rank keeps; 0.99 unless given.
        output: Folder of the export; by default the format's name in the parent of the adapter's folder.
        model: The base model.
        data: The text.
        evaluation: The evaluation.
    """

    to: Target = "lora"
    calibration: str | None = None
    calibration_tokens: Count = 16384
    largest_lost_share: Annotated[float, Ge(0), Le(1)] = 0.1
    rank: Count | None = None
    keep_share: Annotated[float, Gt(0), Lt(1)] = 0.99
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def check_gguf_type(model_type: Any) -> None:
    """Check that GGUF files are written for models of a type."""
    if model_type not in GGUF_MODEL_TYPES:
        raise QweftError(
            f"GGUF is written for models of type {' and '.join(GGUF_MODEL_TYPES)}, and the base model's is "
            f"{short_repr(model_type)}; {GGUF_WAY}"
        )
