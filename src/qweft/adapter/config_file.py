"""The config that lies in an adapter's folder."""

from pathlib import Path

from peft import PeftConfig
from peft.utils import CONFIG_NAME

from qweft.errors import QweftError


def read_config(folder: Path) -> PeftConfig:
    """The config of an adapter of any of PEFT's methods.

    Args:
        folder: A local folder.

    Raises:
        QweftError: If there is no config, it is no JSON, or it holds what no config of its method may.
    """
    path = folder / CONFIG_NAME
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except QweftError as error:
        raise QweftError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        said = (str(error).splitlines() or [""])[0][:300]
        raise QweftError(
            f"{path} is no config of an adapter ({type(error).__name__}: {said}); save the adapter again, or get the "
            "file that was saved with it"
        ) from error
    for name in ("base_model_name_or_path", "revision"):
        value = getattr(config, name, None)
        if value is not None and not isinstance(value, str):
            raise QweftError(f"{path}: {name} must be a text, got {str(value)[:80]}; name the base model there")
    return config
