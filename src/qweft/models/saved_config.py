"""The config.json of a base model, and what it asks for."""

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PretrainedConfig

from qweft.core.errors import QweftError
from qweft.core.text import short_repr
from qweft.models.config import remote_code_allowed
from qweft.models.find import ModelSource
from qweft.models.quantization import check_quantization


def read_config(source: ModelSource) -> dict[str, Any]:
    """Return what a model's config.json holds; nothing where it cannot be read, which loading tells."""
    try:
        # Only the JSON: the config class of a model with code of its own would be run.
        config, _ = PretrainedConfig.get_config_dict(source.location, local_files_only=source.local)
    except Exception:
        return {}
    return dict(config)


def check_config(source: ModelSource, quantization: str | None = None) -> None:
    """Check what a model's config asks for; cheap, as nothing else is read."""
    config = read_config(source)
    check_quantization(quantization, source.name, config)
    kernel = next(_hub_kernels(config), None)
    if kernel is not None and not remote_code_allowed():
        raise QweftError(
            f"model {source.name}: its config.json names {short_repr(kernel)}, code of the hub that would run in place "
            "of its attention or experts; take that out of config.json, or give --trust-remote-code"
        )


def _hub_kernels(value: Any, is_implementation: bool = False) -> Iterator[str]:
    """Yield the hub's kernels, as OWNER/NAME, that a config asks for; transformers fetches and runs them."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _hub_kernels(part, is_implementation or "implementation" in str(key))
    elif is_implementation and isinstance(value, str) and "/" in value:
        yield value
