"""Run something as soon as another package has been imported."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class _Watcher(MetaPathFinder):
    """Finds one package as Python would, and calls back once it has been executed."""

    def __init__(self, package: str, callback: Callable[[], object]):
        self.package, self.callback = package, callback
        self._looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.package or self._looking:
            return None
        self._looking = True  # what follows asks every finder, this one too
        try:
            spec = find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, self._executed)
        return spec

    def _executed(self) -> None:
        """The package is there: not when its spec was only asked for, as `is_peft_available` does."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self.callback()


class _Then(Loader):
    """A loader that does what another does, and then calls back."""

    def __init__(self, loader: Loader, callback: Callable[[], object]):
        self.loader, self.callback = loader, callback

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:  # what asks the module for its loader later must find the real one
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.callback()


def when_imported(package: str, callback: Callable[[], object]) -> None:
    """Call back now if the package has been imported, else right after it first is.

    A package that is being imported at this moment counts as imported: what the callback needs of it must be there.
    """
    if package in sys.modules:
        callback()
    else:
        sys.meta_path.insert(0, _Watcher(package, callback))
