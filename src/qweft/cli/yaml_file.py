"""Strict YAML input, and YAML output that reads back to the same value."""

import re
from pathlib import Path
from typing import Any

import yaml

from qweft.errors import QweftError

UNREADABLE = {FileNotFoundError: "no such file", IsADirectoryError: "expected a YAML file, got a folder"}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats; it rejects duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a dict; raises on a duplicate key."""
        keys = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes text that `_Loader` would read as a number."""


for _each in (_Loader, _Dumper):  # a float without a dot but with an exponent: 5e-4, 1E6, -1.e-3
    _EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    _each.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789."))


def load(text: str, where: str, is_file: bool = False) -> Any:
    """Returns the value that a YAML text holds. `5e-4` is a number, as in YAML 1.2.

    Raises:
        QweftError: The text is not YAML, or has a duplicate key. The line is told for a file, else the text.

    >>> load("{r: 8, rate: 5e-4}", "--adapter")
    {'r': 8, 'rate': 0.0005}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())
        told = problem if problem.startswith("duplicate key") else f"not valid YAML: {problem}"
        line = f", line {mark.line + 1}" if mark and is_file else ""
        raise QweftError(f"{where}{line}: {told}" + ("" if is_file else f", in {text[:60]!r}")) from None


def dump(value: Any, flow: bool = False) -> str:
    """Returns YAML that `load` reads back to the same value; in flow style, on one line."""
    return str(yaml.dump(value, None, _Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=1e6))


def read(path: str) -> dict[str, Any]:
    """Returns the mapping that a YAML file holds; empty for an empty file.

    Raises:
        QweftError: The file does not exist, cannot be read, is not YAML, or is not a mapping.
    """
    try:
        value = load(Path(path).read_text(encoding="utf-8"), path, is_file=True)
    except OSError as error:
        raise QweftError(f"{path}: {UNREADABLE.get(type(error), f'cannot be read: {error.strerror}')}") from None
    except UnicodeDecodeError as error:
        raise QweftError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if value is not None and not isinstance(value, dict):
        raise QweftError(f"{path}: expected a mapping of sections, got {type(value).__name__}")
    return value or {}
