"""Strict YAML in, YAML that reads back the same out.

Two differences from PyYAML: `5e-4` is a number (YAML 1.2; PyYAML's YAML 1.1 reads it as text), and a key written
twice is an error instead of a silent overwrite.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from qweft.errors import QweftError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats, refusing duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dict, raising on a key that stands twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"duplicate key {key.value}"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper that quotes text which `_Loader` would read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write shared values out in full: a reader should not have to follow anchors."""
        return True


for _each in (_Loader, _Dumper):  # a float without a dot but with an exponent: 5e-4, 1E6, -1.e-3
    _EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    _each.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789."))


def load(text: str) -> Any:
    """Return the value that a YAML text holds.

    Raises:
        yaml.YAMLError: The text is not YAML, or a key stands twice; `say` tells it.

    >>> load("{r: 8, rate: 5e-4}")
    {'r': 8, 'rate': 0.0005}
    """
    return yaml.load(text, Loader=_Loader)


def dump(value: Any, flow: bool = False) -> str:
    """Return YAML that `load` reads back to the same value; in flow style it stands on one line."""
    return str(
        yaml.dump(value, None, _Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=1_000_000)
    )


def dump_line(value: Any) -> str:
    """Return a value as YAML on one line, as one would type it.

    >>> dump_line([1, 2]), dump_line(False), dump_line({"preset": "qtha"})
    ('[1, 2]', 'false', '{preset: qtha}')
    """
    return dump(value, flow=True).removesuffix("...\n").strip()


def read(path: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file is an empty mapping.

    Raises:
        QweftError: There is no such file, or it cannot be read, or is not YAML, or is not a mapping.
    """
    try:
        value = load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise QweftError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise QweftError(f"{path}: expected a YAML file, got a folder") from None
    except UnicodeDecodeError as error:
        raise QweftError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise QweftError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        raise QweftError(f"{path}{f', line {mark.line + 1}' if mark else ''}: {say(error)}") from None
    if value is not None and not isinstance(value, dict):
        raise QweftError(f"{path}: expected a mapping of sections, got {type(value).__name__}")
    return value or {}


def say(error: yaml.YAMLError) -> str:
    """Return what is wrong with a YAML text, on one line."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    problem = " ".join(str(problem).split())
    return problem if problem.startswith("duplicate key") else f"not valid YAML: {problem}"
