"""Build the matrices and angles of all branches of a model together, before the model runs."""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import torch
from torch import nn

from qweft.adapter.branch import Branch
from qweft.adapter.build import needs_graph, prepare
from qweft.adapter.directions import is_distributed
from qweft.adapter.layer import QwthnLinear
from qweft.internals.keys import is_compiled, is_compiled_in_place
from qweft.internals.torch import is_transformed, places, version

SESSION, HOOKS = "_qwthn_session", "_qwthn_hooks"
"""Attributes on the model: the state of its last call, and the handles of its hooks."""


Member = tuple[QwthnLinear, str, Branch]
"""A layer, the name of an adapter, and its branch there."""


class Taken:
    """What one call of a model was prepared from: the active adapters and their parameters.

    While the model runs (`open`), its layers use what was built for all of them.
    """

    def __init__(self, layers: Sequence[QwthnLinear], members: Sequence[Member], graph: bool) -> None:
        self.open = False
        self._active = _active_adapters(layers)
        self._members = [(layer, name) for layer, name, _ in members]
        found = [
            each for _, _, branch in members for part in branch for module in part.modules() for each in places(module)
        ]
        self._held_in, self._names, self._tensors = map(list, zip(*found, strict=True)) if found else ([], [], [])
        # a replica's modules have no parameters, and an inference tensor has no version counter
        self.complete = bool(found) and not any(tensor.is_inference() for tensor in self._tensors)
        self._states = self._read() if self.complete and not graph else None

    def still_holds(self, layers: Sequence[QwthnLinear]) -> bool:
        """Whether the same adapters are active with the same tensors, and none of these was written to.

        What was built with a graph is not reused, since an optimizer step follows it. No version counter sees a write
        through `parameter.data`; after one, or after another part was put in, call `model.eval()`, which lets go of
        what was built.
        """
        return (
            self._states is not None
            and _active_adapters(layers) == self._active
            and all(map(self._is_kept, *zip(*self._members, strict=True)))  # eval() and a layer's own call let go of it
            and all(map(is_, map(dict.get, self._held_in, self._names), self._tensors))
            and self._read() == self._states
        )

    def _is_kept(self, layer: QwthnLinear, name: str) -> bool:
        prepared = layer.qwthn_prepared.get(name)
        return prepared is not None and prepared.taken is self

    def _read(self) -> list[tuple[int, int]]:
        """Return version and address of each tensor; the address changes by `parameter.data = ...`."""
        return [(version(tensor), tensor.data_ptr()) for tensor in self._tensors]


class Calls:
    """Watches one call of a model, and warns of adapted layers that it passed by.

    A module may multiply by a layer's weight without calling the layer, as fused kernels do. Its adapter then has no
    effect, and no gradient.
    """

    def __init__(self, root: nn.Module, layers: Sequence[QwthnLinear]) -> None:
        self._called: set[nn.Module] = set()
        watched = set(layers)
        compiled = [each for each in root.modules() if is_compiled(each) or is_compiled_in_place(each)]
        inside = {module for each in compiled for module in each.modules()}
        self._parents = [  # compiled code may call a module without its hooks
            (parent, f"{path}.{name}".lstrip("."), child)
            for path, parent in root.named_modules()
            for name, child in parent.named_children()
            if child in watched and child not in inside
        ]
        places = {module for parent, _, layer in self._parents for module in (parent, layer)} - {root}
        self._called.add(root)
        self._handles = [place.register_forward_pre_hook(self._note) for place in places]

    def _note(self, module: nn.Module, _: Any) -> None:
        self._called.add(module)

    def end(self, completed: bool) -> None:
        """Stop watching; warn of layers that were not called although the module that holds them was."""
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        passed_by = completed and [
            path
            for parent, path, layer in self._parents
            if parent in self._called and layer not in self._called and any(_active([layer]))
        ]
        self._parents = []
        if passed_by:
            others = f" and {len(passed_by) - 1} more" if len(passed_by) > 1 else ""
            warnings.warn(
                f"the model ran without calling the adapted layer {passed_by[0]}{others}, so the adapter has no effect "
                "there: leave it out of target_modules, unless the model calls it on other inputs",
                stacklevel=2,
            )


class Session:
    """The adapted layers of one model, and what its last call was prepared from. A copy starts empty."""

    def __init__(self) -> None:
        self.owner = 0
        self.layers: list[QwthnLinear] = []
        self.taken: Taken | None = None
        self.calls: Calls | None = None

    def __reduce__(self) -> tuple[type["Session"], tuple[()]]:
        return Session, ()


def watch(root: nn.Module) -> None:
    """Build all branches together whenever the model is called; calling this again changes nothing."""
    root.__dict__[SESSION] = Session()  # an adapter was added: search for layers again
    if HOOKS not in root.__dict__:
        after = root.register_forward_hook(_after_call, always_call=True)
        root.__dict__[HOOKS] = (root.register_forward_pre_hook(_before_call), after)


def unwatch(root: nn.Module) -> None:
    """Remove what `watch` added."""
    for handle in root.__dict__.pop(HOOKS, ()):
        handle.remove()
    root.__dict__.pop(SESSION, None)


def _before_call(root: nn.Module, _: Any) -> None:
    if torch.compiler.is_compiling() or is_transformed():
        return
    session = _session_of(root)
    if session.taken:  # of a call that this one is part of: its layers then look for themselves
        session.taken.open = False
    if session.calls is None and torch.is_grad_enabled():
        session.calls = Calls(root, session.layers)
    if torch.is_grad_enabled() or session.taken is None or not session.taken.still_holds(session.layers):
        session.taken = _prepare_all(session.layers)
    session.taken.open = session.taken.complete


def _after_call(root: nn.Module, _: Any, result: Any) -> None:
    if torch.compiler.is_compiling() or is_transformed():
        return
    session = _session_of(root)
    if session.taken:
        session.taken.open = False
    if session.calls:
        session.calls.end(completed=result is not None)


def _prepare_all(layers: Sequence[QwthnLinear]) -> Taken:
    """Build the active branches of all layers, one batch for each form.

    A layer builds its own branch if it is called by itself, or if its parameters are sharded or on the meta device. So
    does every layer that needs gradients in several processes: each parameter's gradient must arrive there as early as
    possible, and once.
    """
    groups: dict[tuple[object, object, bool], list[Member]] = defaultdict(list)
    for layer, name, branch in _active(layers):
        tensors = branch.tensors()
        layer.forget_prepared(name)
        graph = needs_graph(tensors)
        # random directions are drawn here: a checkpoint would draw them in the first of its two passes only
        if graph and not branch.is_found and (branch.bases[0].kind != "random" or layer.is_searching(name)):
            continue  # it adds nothing yet, see `lazy_basis`
        plain = all(type(t) in (nn.Parameter, torch.Tensor) and t.device.type != "meta" for t in tensors)
        if plain and [t.shape for t in tensors] == layer.qwthn_shapes[name] and not (graph and is_distributed()):
            shapes = tuple((t.shape, t.dtype, t.device) for t in tensors)
            groups[branch.form(), shapes, graph].append((layer, name, branch))
    members = [member for group in groups.values() for member in group]
    taken = Taken(layers, members, any(graph for _, _, graph in groups))
    for (_, _, graph), group in groups.items():
        built = prepare([branch for _, _, branch in group], graph)
        for (layer, name, _), prepared in zip(group, built, strict=True):
            prepared.taken = taken
            layer.keep_prepared(name, prepared)
    return taken


def _active(layers: Iterable[QwthnLinear]) -> Iterable[Member]:
    for layer in layers:
        if not layer.disable_adapters and not layer.merged:
            for name in layer.active_adapters:
                if name in layer.qwthn_compress:
                    yield layer, name, layer.branch_of(name)


def _active_adapters(layers: Sequence[QwthnLinear]) -> list[object]:
    """Return what decides which branches run, by the first layer: PEFT switches all layers together.

    A layer that was switched alone runs what it should, but builds its branch by itself at every call.
    """
    return [(str(layer.active_adapter), layer.disable_adapters, len(layer.merged_adapters)) for layer in layers[:1]]


def _session_of(root: nn.Module) -> Session:
    """Return the model's own session; a copy or replica of the model searches for its own layers."""
    session: Session | None = root.__dict__.get(SESSION)
    if session is None or session.owner != id(root):
        session = root.__dict__[SESSION] = Session()
        session.owner = id(root)
        session.layers = [module for module in root.modules() if isinstance(module, QwthnLinear)]
    return session
