"""PEFT's methods and the fields of their configs, read from its source: importing PEFT takes seconds."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OWN = "QWTHN"


def methods() -> tuple[str, ...]:
    """Return the names of all methods, with our own; empty if PEFT's source does not tell."""
    found = _class("peft.utils.peft_types", "PeftType")
    members = [] if found is None else [each for each in found[1].body if isinstance(each, ast.Assign)]
    names = [each.value.value for each in members if isinstance(each.value, ast.Constant)]
    return tuple(sorted({*map(str, names), OWN})) if names else ()


def config_name(method: str) -> str | None:
    """Return the name of the config class that PEFT registers for a method; `None` if its source does not tell.

    The method may be a word of a stranger's file, which must not name a file to read.
    """
    if method.upper() not in methods():
        return None
    for call in ast.walk(_tree(_home(method)) or ast.Module([], [])):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register_peft_method":
            named = (each.value for each in call.keywords if each.arg == "config_cls")
            return next((each.id for each in named if isinstance(each, ast.Name)), None)
    return None


@cache
def fields_of(method: str) -> tuple[str, ...] | None:
    """Return the fields of a method's config, in order; `None` if PEFT's source does not tell."""
    name = config_name(method)
    return None if name is None else _fields(_home(method), name)


@cache
def common_fields() -> tuple[str, ...] | None:
    """Return the fields that the configs of all methods have, in order; `None` if PEFT's source does not tell."""
    return _fields("peft.config", "PeftConfig")


def _home(method: str) -> str:
    return f"peft.tuners.{method.lower()}"


def _fields(module: str, name: str) -> tuple[str, ...] | None:
    """Return the fields of a dataclass, those of its base first."""
    found = _class(module, name)
    if found is None:
        return None
    home, made = found
    names = [ast.unparse(each.target) for each in made.body if isinstance(each, ast.AnnAssign) and _is_argument(each)]
    base = made.bases[0].id if made.bases and isinstance(made.bases[0], ast.Name) else None
    inherited = _fields(home, base) if base and base != "PushToHubMixin" else ()
    return None if inherited is None else tuple(dict.fromkeys((*inherited, *names)))


def _is_argument(field: ast.AnnAssign) -> bool:
    told = ast.unparse(field)
    return "ClassVar" not in told and "init=False" not in told


def _class(module: str, name: str) -> tuple[str, ast.ClassDef] | None:
    """Return a class and the module that defines it, starting from a module that may only import it."""
    tree = _tree(module)
    for each in tree.body if tree else ():
        if isinstance(each, ast.ClassDef) and each.name == name:
            return module, each
        if isinstance(each, ast.ImportFrom) and any(name == (alias.asname or alias.name) for alias in each.names):
            parts = module.split(".") if _file(module).name == "__init__.py" else module.split(".")[:-1]
            above = parts[: len(parts) - each.level + 1] if each.level else []
            return _class(".".join([*above, *([each.module] if each.module else [])]), name)
    return None


def _file(module: str) -> Path:
    first, *rest = module.split(".")
    spec = find_spec(first)
    folder = Path(spec.origin if spec and spec.origin else "").parent.joinpath(*rest)
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module | None:
    try:
        return ast.parse(_file(module).read_bytes())
    except (OSError, SyntaxError):
        return None
