"""Every place of src/qweft that reaches into private parts of other packages, found in the syntax tree."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1] / "src" / "qweft"
PRIVATE = re.compile(r"_[A-Za-z][A-Za-z0-9_]*(?<!__)")
TEXT = re.compile(r"\.?(_[a-z][a-z0-9_]*)\.?")
DOCUMENTED = {"_asdict", "_replace", "_name_", "_value_"}
"""Public names that begin with an underscore: methods of named tuples, and what an enum's `__new__` sets."""
OF_TEXT = {"endswith", "startswith", "removesuffix", "removeprefix", "replace", "split", "join"}
"""Methods whose text does not name an attribute."""
CALLED_BY_PEFT = {"_enable_peft_forward_hooks"}
"""A hook that no class of PEFT defines: `PeftModel` looks whether the tuner has it."""


class Reach(NamedTuple):
    """One place: where it is, and the private name or the function that is replaced."""

    file: str
    line: int
    name: str


def is_private(name: str) -> bool:
    """Whether a name is private by its underscore."""
    return PRIVATE.fullmatch(name) is not None and name not in DOCUMENTED


def is_foreign(module: str | None) -> bool:
    """Whether a module belongs to another package."""
    return module is not None and module.split(".")[0] not in ("qweft", "__future__")


def line_of(node: ast.AST) -> int:
    """The line that a node begins on."""
    return int(getattr(node, "lineno", 0))


def attribute_of(node: ast.AST | None) -> str | None:
    """The name of an attribute access, or `None`."""
    return node.attr if isinstance(node, ast.Attribute) else None


def root_of(node: ast.AST) -> str | None:
    """The first name of a chain of attributes, or `None`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@cache
def private_names(owner: type) -> frozenset[str]:
    """Private names of a class of another package: what it defines, and what its methods set on `self`."""
    names = {name for name in vars(owner) if is_private(name)}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError, SyntaxError):
        return frozenset(names)
    stored = (n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))
    return frozenset(names | {node.attr for node in stored if is_private(node.attr)})


def names_of_bases(owner: Any) -> set[str]:
    """Private names of a class and all its bases that are not ours."""
    bases = [base for base in getattr(owner, "__mro__", ()) if base is not object and is_foreign(base.__module__)]
    return {name for base in bases for name in private_names(base)}


def names_on_self(tree: ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Private names that a class defines, or uses on `self`, `cls` or `super()`."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [node.name] if isinstance(node, ast.FunctionDef) else [t.id for t in targets if isinstance(t, ast.Name)]
        yield from ((node.lineno, name) for name in names if is_private(name))
    for used in ast.walk(tree):
        if isinstance(used, ast.Attribute) and is_private(used.attr):
            owner = used.value.func if isinstance(used.value, ast.Call) else used.value
            if isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super"):
                yield used.lineno, used.attr


class File:
    """One file of the package."""

    def __init__(self, path: Path, root: Path = ROOT) -> None:
        self.name = path.relative_to(root).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def own(self) -> set[str]:
        """Private names that are defined here, but on objects that may be of another package."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and root_of(node) == "self":
                found.add(node.attr)
        return found

    def imported(self) -> set[str]:
        """Names here that stand for modules, classes and functions of other packages."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {(name.asname or name.name).split(".")[0] for name in node.names if is_foreign(name.name)}
            elif isinstance(node, ast.ImportFrom) and not node.level and is_foreign(node.module):
                found |= {name.asname or name.name for name in node.names}
        return found

    def of_bases(self) -> Iterator[Reach]:
        """Hooks of other packages' classes: a definition and its call of the original are one place."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef) and node.bases and (found := list(names_on_self(node))):
                used = {name: line for line, name in reversed(found)}
                theirs = self._names_above(node) | CALLED_BY_PEFT
                yield from (Reach(self.name, line, name) for name, line in used.items() if name in theirs)

    def _names_above(self, node: ast.ClassDef) -> set[str]:
        """Private names that a class gets from classes of other packages, through ours, too."""
        places: dict[str, tuple[str, str | None]] = {}
        for imported in ast.walk(self.tree):
            if isinstance(imported, ast.Import):
                places |= {name.asname or name.name.split(".")[0]: (name.name, None) for name in imported.names}
            elif isinstance(imported, ast.ImportFrom) and imported.module:
                places |= {name.asname or name.name: (imported.module, name.name) for name in imported.names}
        here = {other.name: other for other in ast.walk(self.tree) if isinstance(other, ast.ClassDef)}
        found: set[str] = set()
        for base in node.bases:
            root, *path = ast.unparse(base).split("[")[0].split(".")
            if root in here and here[root] is not node:
                found |= self._names_above(here[root])
            elif root in places:
                module, name = places[root]
                owner: Any = importlib.import_module(module if name else root)
                for part in [name, *path] if name else path:
                    owner = getattr(owner, part)
                found |= names_of_bases(owner)
        return found

    def others(self, of_bases: set[str]) -> Iterator[Reach]:
        """Imports, attributes, texts with the name of an attribute, and functions and attributes that are replaced."""
        own, imported = self.own() - of_bases, self.imported()
        for node in ast.walk(self.tree):
            for name in self._private(node, own, of_bases):
                yield Reach(self.name, line_of(node), name)
            if (replaced := _replaced(node)) and root_of(replaced[0]) in imported:
                yield Reach(self.name, line_of(node), f"{ast.unparse(replaced[0])}.{replaced[1]}")

    def _private(self, node: ast.AST, own: set[str], of_bases: set[str]) -> Iterator[str]:
        parent = self.parents.get(node)
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if is_foreign(name.name) and any_private(name.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and is_foreign(node.module):
            yield from (name.name for name in node.names if is_private(name.name) or any_private(node.module or ""))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            on_self = isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super")
            inner = is_private(attribute_of(parent) or "")  # of a chain, the last is the one
            if not (on_self and node.attr in of_bases) and not inner:
                before = attribute_of(node.value) or ""
                yield f"{before}.{node.attr}" if is_private(before) else node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = isinstance(parent, ast.JoinedStr) or (
                isinstance(parent, ast.Call) and attribute_of(parent.func) in OF_TEXT
            )
            found = TEXT.fullmatch(node.value)
            if found and not text and not found[1].startswith("_qwthn_") and found[1] not in own:
                yield found[1]


def any_private(module: str) -> bool:
    """Whether any part of a dotted name is private."""
    return any(map(is_private, module.split(".")))


def _replaced(node: ast.AST) -> tuple[ast.AST, str] | None:
    """Whose attribute is set or deleted here, and which."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value, node.attr
    if isinstance(node, ast.Call) and node.args:
        called = attribute_of(node.func) or root_of(node.func)
        if called in ("setattr", "delattr", "__setattr__", "__delattr__", "wrap") and len(node.args) > 1:
            name = node.args[1]
            return node.args[0], str(name.value) if isinstance(name, ast.Constant) else "*"
    return None


def all_reaches(root: Path = ROOT) -> list[Reach]:
    """All reaches below a folder, sorted by file and line."""
    files = [File(path, root) for path in sorted(root.rglob("*.py"))]
    found = []
    for file in files:
        of_bases = list(file.of_bases())
        found += of_bases + list(file.others({reach.name for reach in of_bases}))
    return sorted(found)
