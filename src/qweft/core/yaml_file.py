"""Strict YAML input, with the numbers of YAML 1.2, and YAML output that reads back to the same value."""

import re
from pathlib import Path
from typing import Any

import yaml

from qweft.core.errors import QweftError
from qweft.core.files import read_bytes

MOST_BYTES = 2**20
"""Largest file that is read."""
MOST_QUOTED = 60
"""Characters of a text that an error quotes."""
INT_TAG = "tag:yaml.org,2002:int"
FLOAT_TAG = "tag:yaml.org,2002:float"
WHOLE_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
"""Integers: 010 is a text, and not 8 as in YAML 1.1; likewise 1:30."""
DECIMAL_NUMBER = re.compile(
    r"(?:[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN))$"
)
"""Floats: 5e-4 is one, too."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 numbers; it refuses duplicate keys."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping; raise if it has a key twice."""
        node = super().compose_mapping_node(anchor)
        names = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = (key.tag, key.value)
            if name in names:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
            names.add(name)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge mappings by `<<`; a key of its own stands in place of a merged one, also where it is merged again."""
        super().flatten_mapping(node)
        last = {}
        for key, value in node.value:  # merged ones come first
            last[key.tag, str(key.value)] = (key, value)
        node.value = list(last.values())


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes text that `_Loader` would read as a number."""


def _without_numbers(resolvers: dict[str, Any]) -> dict[str, Any]:
    """Return PyYAML's resolvers of plain texts without those of YAML 1.1's numbers."""
    kept = {}
    for first_letter, known in resolvers.items():
        kept[first_letter] = [(tag, pattern) for tag, pattern in known if tag not in (INT_TAG, FLOAT_TAG)]
    return kept


_Loader.yaml_implicit_resolvers = _without_numbers(yaml.SafeLoader.yaml_implicit_resolvers)
_Loader.add_implicit_resolver(INT_TAG, WHOLE_NUMBER, list("-+0123456789"))
_Loader.add_implicit_resolver(FLOAT_TAG, DECIMAL_NUMBER, list("-+0123456789."))
_Dumper.add_implicit_resolver(FLOAT_TAG, DECIMAL_NUMBER, list("-+0123456789."))


def load(text: str, origin: str, is_file: bool = False) -> Any:
    """Return the value that a YAML text holds. `5e-4` is a number, as in YAML 1.2.

    Raises:
        QweftError: The text is not YAML, or has a duplicate key. The line is told for a file, else the text.

    >>> load("{r: 8, rate: 5e-4}", "--adapter")
    {'r': 8, 'rate': 0.0005}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except Exception as error:  # PyYAML leaves the errors of what it calls for a wrong number or date as they are
        problem = _describe_problem(error)
        if not is_file:
            raise QweftError(f"{origin}: {problem}, in {text[:MOST_QUOTED]!r}") from None
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        raise QweftError(f"{origin}{line}: {problem}") from None


def _describe_problem(error: Exception) -> str:
    """Return what PyYAML found wrong, on one line."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    words = " ".join(str(problem).split())
    return words if words.startswith("duplicate key") else f"not valid YAML: {words}"


def dump(value: Any, flow: bool = False) -> str:
    """Return YAML that `load` reads back to the same value; in flow style, on one line."""
    return str(yaml.dump(value, None, _Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=1e6))


def read(path: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; empty for an empty file."""
    value = load(read_text(Path(path)), path, is_file=True)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise QweftError(f"{path}: expected a mapping of sections, got {type(value).__name__}")
    return value


def read_text(path: Path) -> str:
    """Return the text of a YAML file; raise `QweftError` if it cannot be read, is too large, or is not UTF-8."""
    try:
        return read_bytes(path, MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise QweftError(f"{path}: no UTF-8 text; give a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise QweftError(f"{path}: {reason.lower()}; give a YAML file") from None
