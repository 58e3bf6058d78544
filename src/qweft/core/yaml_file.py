"""Strict YAML input, with the numbers of YAML 1.2, and YAML output that reads back to the same value."""

import re
from pathlib import Path
from typing import Any

import yaml

from qweft.core.errors import QweftError
from qweft.core.files import read_bytes

LARGEST = 2**20
"""Largest file that is read, in bytes."""
INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
"""Integers: 010 is a text, and not 8 as in YAML 1.1; likewise 1:30."""
DECIMAL = re.compile(
    r"(?:[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN))$"
)
"""Floats: 5e-4 is one, too."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 numbers; it refuses duplicate keys."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping; raise if it has a key twice."""
        node, names = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if isinstance(key, yaml.ScalarNode) and name in names:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
            names.add(name)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge mappings by `<<`; a key of its own stands in place of a merged one, also where it is merged again."""
        super().flatten_mapping(node)
        node.value = list({(key.tag, str(key.value)): (key, value) for key, value in node.value}.values())


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes text that `_Loader` would read as a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in (INT, FLOAT)]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(INT, WHOLE, list("-+0123456789"))
for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(FLOAT, DECIMAL, list("-+0123456789."))


def load(text: str, where: str, is_file: bool = False) -> Any:
    """Return the value that a YAML text holds. `5e-4` is a number, as in YAML 1.2.

    Raises:
        QweftError: The text is not YAML, or has a duplicate key. The line is told for a file, else the text.

    >>> load("{r: 8, rate: 5e-4}", "--adapter")
    {'r': 8, 'rate': 0.0005}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except Exception as error:  # PyYAML leaves the errors of what it calls for a wrong number or date as they are
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())
        what = problem if problem.startswith("duplicate key") else f"not valid YAML: {problem}"
        line = f", line {mark.line + 1}" if mark and is_file else ""
        raise QweftError(f"{where}{line}: {what}" + ("" if is_file else f", in {text[:60]!r}")) from None


def dump(value: Any, flow: bool = False) -> str:
    """Return YAML that `load` reads back to the same value; in flow style, on one line."""
    return str(yaml.dump(value, None, _Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=1e6))


def read(path: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; empty for an empty file."""
    value = load(read_text(Path(path)), path, is_file=True)
    if value is not None and not isinstance(value, dict):
        raise QweftError(f"{path}: expected a mapping of sections, got {type(value).__name__}")
    return value or {}


def read_text(path: Path) -> str:
    """Return the text of a YAML file; raise `QweftError` if it cannot be read, is too large, or is not UTF-8."""
    try:
        return read_bytes(path, LARGEST).decode("utf-8")
    except UnicodeDecodeError:
        raise QweftError(f"{path}: no UTF-8 text; give a YAML file") from None
    except (OSError, ValueError) as error:
        raise QweftError(
            f"{path}: {(getattr(error, 'strerror', None) or str(error)).lower()}; give a YAML file"
        ) from None
