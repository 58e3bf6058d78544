"""Options of `qweft export` and their checks."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.text import shown

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
        distill_steps: Training steps against the hybrid model after the fit; 0 unless given.
        distill_learning_rate: Learning rate of these steps, which decays to zero; 0.001 unless given.
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
    calibration_tokens: int = 16384
    distill_steps: int = 0
    distill_learning_rate: float = 1e-3
    largest_lost_share: float = 0.1
    rank: int | None = None
    keep_share: float = 0.99
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def check_export(config: ExportConfig) -> None:
    """Check value ranges."""
    for name, least in (("calibration_tokens", 1), ("distill_steps", 0), ("rank", 1)):
        if getattr(config, name) is not None and getattr(config, name) < least:
            raise QweftError(f"{name} must be at least {least}, got {getattr(config, name)}")
    if not config.distill_learning_rate > 0:
        raise QweftError(f"distill_learning_rate must be above 0, got {config.distill_learning_rate}")
    if config.distill_learning_rate != ExportConfig.distill_learning_rate and not config.distill_steps:
        raise QweftError(
            f"--distill-learning-rate {config.distill_learning_rate:g} says nothing without --distill-steps; give both"
        )
    if config.rank is not None and config.to not in LORAS:
        raise QweftError(f"--rank {config.rank} is of a LoRA, and --to {config.to} writes none; leave it out")
    if not 0 < config.keep_share < 1:
        raise QweftError(f"keep_share is a share of the adapter's gain, above 0 and below 1, got {config.keep_share}")
    if not 0 <= config.largest_lost_share <= 1:
        raise QweftError(
            f"largest_lost_share is a share of the adapter's gain, from 0 to 1, got {config.largest_lost_share}"
        )


def check_gguf_type(model_type: Any) -> None:
    """Check that GGUF files are written for models of a type."""
    if model_type not in GGUF_MODEL_TYPES:
        raise QweftError(
            f"GGUF is written for models of type {' and '.join(GGUF_MODEL_TYPES)}, and the base model's is "
            f"{shown(model_type)}; {GGUF_WAY}"
        )
