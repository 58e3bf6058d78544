"""Strict YAML input, and YAML output that reads back to the same value."""

import re
from pathlib import Path
from typing import Any

import yaml

from qweft.errors import QweftError
from qweft.files import read_bytes

LARGEST = 2**20
"""Largest file that is read, in bytes."""
MOST_VALUES = 100_000
"""Most values of a text, those repeated by aliases included: a few lines of them could stand for billions."""
DEEPEST = 64
"""Deepest nesting of lists and mappings, through aliases, too."""
MOST_DIGITS = 100
"""Most digits of an integer, base and signs between them included."""
MERGE, EQUALS = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"
"""What PyYAML calls the keys `<<` and `=`, which have no value of their own."""
TOO_DEEP = f"nested more than {DEEPEST} levels deep"


def _refusal(what: str, mark: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, mark)


def _refuse_other_base(node: yaml.ScalarNode) -> None:
    digits = node.value.replace("_", "").lstrip("+-")
    if ":" in digits or (digits[:1] == "0" and digits[1:].isdecimal()):
        what = f"{node.value[:20]} would be a number of base {60 if ':' in digits else 8}"
        raise _refusal(f"{what}; write it in base 10, or a text in quotes", node.start_mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats; it rejects duplicate keys and bounds nesting and aliases."""

    def __init__(self, stream: str):
        super().__init__(stream)
        self.depth = 0
        self.sizes: dict[yaml.Node, tuple[int, int]] = {}  # values and levels of each complete node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node; raises if it is too large or too deep, or contains itself."""
        begun: Any = self.peek_event()
        if self.depth >= DEEPEST:
            raise _refusal(TOO_DEEP, begun.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(begun, yaml.AliasEvent) and node not in self.sizes:
            raise _refusal("an alias within what it stands for", begun.start_mark)
        if node is not None and node not in self.sizes:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
            inner = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else inner
            values = 1 + sum(self.sizes[each][0] for each in inner)
            levels = 1 + max((self.sizes[each][1] for each in inner), default=0)
            if values > MOST_VALUES:
                raise _refusal(f"more than {MOST_VALUES:,} values", begun.start_mark)
            if levels > DEEPEST:
                raise _refusal(TOO_DEEP, begun.start_mark)
            self.sizes[node] = values, levels
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Builds an integer.

        Raises if it has too many digits in base 2, 8 or 16, so that it could not be printed, or is one of YAML 1.1
        alone: 010 for 8, and 1:30 for 90.
        """
        _refuse_other_base(node)
        if len(node.value) > MOST_DIGITS and not node.value.lstrip("+-").isdecimal():  # Python bounds decimal ones
            raise _refusal(f"a number of {len(node.value):,} digits", node.start_mark)
        return int(super().construct_yaml_int(node))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """Builds a float; raises if it is of base 60, as 1:30.5 is in YAML 1.1."""
        _refuse_other_base(node)
        return float(super().construct_yaml_float(node))

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges mappings by `<<`; raises on a key that one mapping, or several of a merged list, give twice.

        A key of its own stands in place of a merged one, as YAML says.
        """
        self._refuse_twice(node.value)
        for key, value in node.value:
            if key.tag == MERGE and isinstance(value, yaml.SequenceNode):
                several = [each for each in value.value if isinstance(each, yaml.MappingNode)]
                for each in several:
                    self.flatten_mapping(each)
                own = {self._name(each) for each, _ in node.value}
                merged = [pair for each in several for pair in each.value if self._name(pair[0]) not in own]
                self._refuse_twice(merged, " in what << merges; give it beside <<")
        super().flatten_mapping(node)
        # the merged ones come first; where both stay, PyYAML takes the first of them when it merges this mapping again
        node.value = list({self._name(pair[0]): pair for pair in node.value}.values())

    def _refuse_twice(self, pairs: list[tuple[yaml.Node, yaml.Node]], where: str = "") -> None:
        seen = set()
        for key, _ in pairs:
            name = self._name(key)
            if name in seen:
                raise _refusal(f"duplicate key {key.value}{where}", key.start_mark)
            seen.add(name)

    def _name(self, key: yaml.Node) -> Any:
        """Returns a key as it will be; a key that no mapping can have stands for itself."""
        if not isinstance(key, yaml.ScalarNode):
            return key
        return key.value if key.tag in (MERGE, EQUALS) else self.construct_object(key)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes text that `_Loader` would read as a number."""


for _each in (_Loader, _Dumper):  # a float without a dot but with an exponent: 5e-4, 1E6, -1.e-3
    _EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
    _each.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789."))


def load(text: str, where: str, is_file: bool = False) -> Any:
    """Returns the value that a YAML text holds. `5e-4` is a number, as in YAML 1.2.

    Raises:
        QweftError: The text is not YAML, has a duplicate key, or is too large or too deep. The line is told for a
            file, else the text.

    >>> load("{r: 8, rate: 5e-4}", "--adapter")
    {'r': 8, 'rate': 0.0005}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML leaves the errors of what it calls for a wrong number or date as they are
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
        QweftError: The file cannot be read as `read_text` does, is not YAML, or is not a mapping.
    """
    value = load(read_text(Path(path)), path, is_file=True)
    if value is not None and not isinstance(value, dict):
        raise QweftError(f"{path}: expected a mapping of sections, got {type(value).__name__}")
    return value or {}


def read_text(path: Path) -> str:
    """Returns the text of a YAML file.

    Raises:
        QweftError: It does not exist, is no regular file, is too large or not UTF-8, or cannot be read.
    """
    try:
        return read_bytes(path, LARGEST).decode("utf-8")
    except FileNotFoundError:
        raise QweftError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise QweftError(f"{path}: expected a YAML file, got a folder") from None
    except UnicodeDecodeError as error:
        raise QweftError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise QweftError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
