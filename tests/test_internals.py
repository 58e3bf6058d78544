"""What of src/qweft reaches into private parts of other packages: every place is listed here, so a new one is seen."""

import ast
import importlib
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "qweft"
PRIVATE = re.compile(r"_[A-Za-z][A-Za-z0-9_]*(?<!__)")
TEXT = re.compile(r"\.?(_[a-z][a-z0-9_]*)\.?")
DOCUMENTED = {"_asdict", "_replace", "_name_", "_value_"}
"""With an underscore and yet public: the methods of named tuples, and what an enum's `__new__` sets."""
OF_TEXT = {"endswith", "startswith", "removesuffix", "removeprefix", "replace", "split", "join"}
"""Methods whose text is no name of an attribute."""
MOST = 30

INTERNALS = {
    "internals/torch.py": {
        "_orig_mod": 1,
        "_fsdp_wrapped_module": 1,
        "_version": 1,
        "_is_replica": 1,
        "_C._current_graph_task_id": 1,
        "_parameters": 1,
        "_buffers": 1,
    },
    "internals/peft.py": {
        "_get_in_out_features": 1,
        "_member_names_": 1,
        "_member_map_": 1,
        "_value2member_map_": 1,
        "_hashable_values_": 1,
        "PeftType.*": 1,
    },
    "internals/replaced.py": {
        "PeftModel.from_pretrained": 1,
        "PeftModel.load_adapter": 1,
        "PeftModel.save_pretrained": 1,
        "PeftAdapterMixin.load_adapter": 1,
        "PreTrainedModel.save_pretrained": 1,
        "PushToHubMixin.push_to_hub": 1,
    },
    "internals/transformers.py": {"_hf_peft_config_loaded": 1, "_checkpoint_conversion_mapping": 1},
    "internals/trainer.py": {"_save_checkpoint": 1},
    "internals/providers.py": {"_config": 1, "_instance": 1},
}
HOOKS = {
    "adapter/model.py": {
        "_create_and_replace": 1,
        "_replace_module": 1,
        "_cast_adapter_dtype": 1,
        "_enable_peft_forward_hooks": 1,
        "_get_adapter_state_dict": 1,
        "_remove_adapter_name_from_key": 1,
        "_remap_adapter_state_dict_for_load": 1,
    },
    "adapter/layer.py": {"_move_adapter_to_device_of_base_layer": 1},
}
"""What PEFT's `BaseTuner` calls on its subclasses, and what every layer of PEFT calls; there is no other way in."""
CALLED_BY_PEFT = {"_enable_peft_forward_hooks"}
"""A hook that no class of PEFT defines: `PeftModel` looks whether the tuner has it."""
IN_CLI = {"_split_lines", "_actions", "_action_groups", "_group_actions"}
"""argparse's, for the layout of the help: once each, in any file of cli/."""


class Reach(NamedTuple):
    """One place: where it is, and the private name or the function that is replaced."""

    file: str
    line: int
    name: str


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None and name not in DOCUMENTED


def is_foreign(module: str | None) -> bool:
    return module is not None and module.split(".")[0] not in ("qweft", "__future__")


def attribute_of(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else None


def root_of(node: ast.AST) -> str | None:
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
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            if isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super"):
                yield node.lineno, node.attr


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
        places = {}
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
                yield Reach(self.name, node.lineno, name)
            if (replaced := _replaced(node)) and root_of(replaced[0]) in imported:
                yield Reach(self.name, node.lineno, f"{ast.unparse(replaced[0])}.{replaced[1]}")

    def _private(self, node: ast.AST, own: set[str], of_bases: set[str]) -> Iterator[str]:
        parent = self.parents.get(node)
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if is_foreign(name.name) and any_private(name.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and is_foreign(node.module):
            yield from (name.name for name in node.names if is_private(name.name) or any_private(node.module))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            on_self = isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super")
            inner = is_private(attribute_of(parent) or "")  # of a chain, the last is the one
            if not (on_self and node.attr in of_bases) and not inner:
                yield f"{node.value.attr}.{node.attr}" if is_private(attribute_of(node.value) or "") else node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = isinstance(parent, ast.JoinedStr) or (
                isinstance(parent, ast.Call) and attribute_of(parent.func) in OF_TEXT
            )
            found = TEXT.fullmatch(node.value)
            if found and not text and not found[1].startswith("_qwthn_") and found[1] not in own:
                yield found[1]


def any_private(module: str) -> bool:
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
    files = [File(path, root) for path in sorted(root.rglob("*.py"))]
    found = []
    for file in files:
        of_bases = list(file.of_bases())
        found += of_bases + list(file.others({reach.name for reach in of_bases}))
    return sorted(found)


@pytest.fixture(scope="module")
def found() -> list[Reach]:
    return all_reaches()


ALLOWED = {**INTERNALS, **HOOKS}


def test_every_reach_into_private_parts_is_on_the_list(found):
    new, in_cli = [], Counter(reach.name for reach in found if reach.file.startswith("cli/"))
    for (file, name), count in Counter((reach.file, reach.name) for reach in found).items():
        of_argparse = file.startswith("cli/") and name in IN_CLI and in_cli[name] == 1
        if count > ALLOWED.get(file, {}).get(name, 0) and not of_argparse:
            lines = ", ".join(str(reach.line) for reach in found if (reach.file, reach.name) == (file, name))
            new.append(f"src/qweft/{file}, line {lines}, reaches for {name}")
    assert not new, (
        f"{'; '.join(new)}: use a public function instead; where there is none, put the reach behind a function in "
        "src/qweft/internals/ that says why, and add it to INTERNALS in tests/test_internals.py"
    )


def test_nothing_stays_on_the_list_that_is_gone(found):
    there = Counter((reach.file, reach.name) for reach in found)
    gone = [
        f"{file}: {name}"
        for file, names in {**INTERNALS, **HOOKS}.items()
        for name, count in names.items()
        if there[file, name] < count
    ]
    assert not gone, f"these reaches are gone, take them off the list in tests/test_internals.py: {', '.join(gone)}"


def test_private_parts_of_peft_transformers_and_torch_are_few():
    counted = {file: sum(names.values()) for file, names in {**INTERNALS, **HOOKS}.items()}
    del counted["internals/providers.py"]
    assert sum(counted.values()) <= MOST, counted


def test_internals_know_nothing_of_the_rest():
    for path in sorted((ROOT / "internals").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else [module or ""]
            wrong = [name for name in names if not is_foreign(name or "x") and name != "qweft.errors"]
            assert not wrong, f"{path.name} imports {wrong}: internals serve the rest and know nothing of it"


REACHES = {
    "from torch._dynamo import disable": ["disable"],
    "from peft.tuners.tuners_utils import _get_in_out_features": ["_get_in_out_features"],
    "import torch._inductor": ["torch._inductor"],
    "def f(model): return model._hf_peft_config_loaded": ["_hf_peft_config_loaded"],
    "def f(model): return model.base._adapters.keys()": ["_adapters"],
    "import torch\nrunning = torch._C._current_graph_task_id()": ["_C._current_graph_task_id"],
    "def f(model): return getattr(model, '_orig_mod', None)": ["_orig_mod"],
    "def f(model): return vars(model)['_modules']": ["_modules"],
    "def f(tensor):\n    tensor._version = 3": ["_version"],
    "from peft import PeftModel\nPeftModel.load_adapter = print": ["PeftModel.load_adapter"],
    "import peft\nsetattr(peft.PeftModel, 'load_adapter', print)": ["peft.PeftModel.load_adapter"],
    "import peft\ndel peft.PeftModel.load_adapter": ["peft.PeftModel.load_adapter"],
    "from peft import PeftModel\nwrap(PeftModel, 'forward', print)": ["PeftModel.forward"],
    "_x = 1\ndef _f(): return _x": [],
    "class A:\n    def __init__(self): self._x = 1\n    def f(self, other): return self._x == other._x": [],
    "def f(pair): return pair._asdict(), pair.name.endswith('_modules'), f'{pair}_source'": [],
    "from __future__ import annotations\nfrom qweft.adapter.x import _mine": [],
}


@pytest.mark.parametrize("source", REACHES)
def test_the_counter_sees_it(tmp_path, source):
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    assert [reach.name for reach in all_reaches(tmp_path)] == REACHES[source]
