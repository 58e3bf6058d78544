"""Strict YAML input, and YAML output that reads back to the same value."""

import re
from pathlib import Path
from typing import Any

import yaml

from qweft.errors import QweftError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats; it rejects duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a dict; raises on a duplicate key."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"duplicate key {key.value}"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes text that `_Loader` would read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        """Writes shared values in full, so that a reader need not follow anchors."""
        return True


for _each in (_Loader, _Dumper):  # a float without a dot but with an exponent: 5e-4, 1E6, -1.e-3
    _EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    _each.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789."))


def load(text: str) -> Any:
    """Returns the value that a YAML text holds.

    It differs from PyYAML in two ways. `5e-4` is a number, as in YAML 1.2; PyYAML follows YAML 1.1 and gives text.
    A duplicate key is an error, not a silent overwrite.

    Raises:
        yaml.YAMLError: The text is not YAML, or has a duplicate key; `say` describes it.

    >>> load("{r: 8, rate: 5e-4}")
    {'r': 8, 'rate': 0.0005}
    """
    return yaml.load(text, Loader=_Loader)


def dump(value: Any, flow: bool = False) -> str:
    """Returns YAML that `load` reads back to the same value; in flow style, on one line."""
    return str(
        yaml.dump(value, None, _Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=1_000_000)
    )


def dump_line(value: Any) -> str:
    """Returns a value as YAML on one line, as a user would type it.

    >>> dump_line([1, 2]), dump_line(False), dump_line({"preset": "qtha"})
    ('[1, 2]', 'false', '{preset: qtha}')
    """
    return dump(value, flow=True).removesuffix("...\n").strip()


def read(path: str) -> dict[str, Any]:
    """Returns the mapping that a YAML file holds; empty for an empty file.

    Raises:
        QweftError: The file does not exist, cannot be read, is not YAML, or is not a mapping.
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
    """Returns the problem of a YAML text, on one line."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    problem = " ".join(str(problem).split())
    return problem if problem.startswith("duplicate key") else f"not valid YAML: {problem}"
