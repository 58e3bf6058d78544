"""Checks of a base model before PyTorch is imported."""

from pathlib import Path

from qweft.core.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.models.find import ModelSource, find_model
from qweft.models.folders import has_weights
from qweft.models.quantization import check_quantization

DEVICE_TYPES = ("auto", "cpu", "cuda", "mps", "meta")


def check_model(config: ModelConfig, needs_weights: bool = True) -> ModelSource:
    """Check a base model as far as that is possible before PyTorch is imported: its name, device and files."""
    check_device_name(config.device)
    if needs_weights and config.device == "meta":
        raise QweftError("--model.device meta has shapes and no numbers; give auto, cpu or cuda")
    source = find_model(config)
    check_quantization(config.quantization, config.name, {})
    if needs_weights:
        check_weights(source)
    return source


def check_device_name(name: str) -> None:
    """Raise unless a device is of a type that models are put on."""
    kind, colon, number = name.partition(":")
    has_bad_number = colon and not number.isdecimal()
    if kind not in DEVICE_TYPES or has_bad_number:
        raise QweftError(f"device {name}: unknown; use auto, cpu, cuda, cuda:1, mps or meta")


def check_weights(source: ModelSource) -> None:
    """Raise if a local folder holds no weights: missing ones would be filled with random numbers."""
    is_ready_folder = source.local and source.package is None
    if is_ready_folder and not has_weights(Path(source.location)):
        raise QweftError(
            f"model {source.name}: the folder holds a config.json and no weights (*.safetensors, pytorch_model*.bin); "
            "copy the weights there, or use device meta to work with the shapes alone"
        )
