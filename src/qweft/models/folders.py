"""What a folder of a model holds."""

from pathlib import Path

from qweft.core.errors import QweftError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds model weights: safetensors or PyTorch files, sharded or not."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def check_holds_no_model(output: Path) -> None:
    """Raise if an output is the folder of a model or an adapter itself, whose files a run would be mixed with."""
    kind = ""
    if (output / "config.json").is_file() and has_weights(output):
        kind = "a model"
    elif (output / "adapter_config.json").is_file():
        kind = "an adapter"
    if kind:
        raise QweftError(f"output {output} is the folder of {kind}; choose another --output, as {output}-run")
