"""PEFT's methods and the fields of their configs, read from its source: importing PEFT takes seconds."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OWN = "QWTHN"


def methods() -> tuple[str, ...]:
    """Return the names of all methods, with our own."""
    return tuple(sorted(_config_names()))


def config_name(method: str) -> str:
    """Return the name of the config class that PEFT registers for a method."""
    return _config_names()[method.upper()]


def fields_of(method: str) -> tuple[str, ...]:
    """Return the fields of a method's config, in order; none of our own."""
    return _fields(config_name(method))


def common_fields() -> tuple[str, ...]:
    """Return the fields that the configs of all methods have, in order."""
    return _fields("PeftConfig")


def _fields(name: str) -> tuple[str, ...]:
    """Return the fields of a dataclass of PEFT, those of its base first."""
    config = _configs().get(name)
    if config is None:
        return ()
    named = [field for base in config.bases for field in _fields(ast.unparse(base))]
    for each in config.body:
        if isinstance(each, ast.AnnAssign):
            text = ast.unparse(each)
            if "ClassVar" not in text and "init=False" not in text:
                named.append(ast.unparse(each.target))
    return tuple(dict.fromkeys(named))


@cache
def _config_names() -> dict[str, str]:
    """Return the config class of each method."""
    names = {OWN: "QwthnConfig"}
    for call in (node for tree in _trees("tuners/*/__init__.py") for node in ast.walk(tree)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register_peft_method":
            given = {each.arg: ast.unparse(each.value) for each in call.keywords}
            names[ast.literal_eval(given["name"]).upper()] = given["config_cls"]
    return names


@cache
def _configs() -> dict[str, ast.ClassDef]:
    """Return the classes of PEFT's modules that define configs."""
    trees = (tree for place in ("config.py", "tuners/lycoris_utils.py", "tuners/*/config.py") for tree in _trees(place))
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


def _trees(pattern: str) -> Iterator[ast.Module]:
    spec: Any = find_spec("peft")
    return (ast.parse(path.read_bytes()) for path in Path(spec.origin).parent.glob(pattern))
