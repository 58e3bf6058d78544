"""Before a model runs, the matrices and angles of all its branches are built together."""

from collections import defaultdict
from collections.abc import Iterable
from operator import is_
from typing import Any

import torch
from torch import nn

from qweft.adapter.layer import QwthnLayer
from qweft.adapter.prepared import Branch, Prepared, needs_graph, prepare

SESSION = "_qwthn_session"


class Session:
    """What was built for one model, and the parameters that it was built from.

    While the model runs, its layers need not look whether a parameter changed: that was checked for all at once.

    A copy starts empty: it belongs to another model.
    """

    def __init__(self) -> None:
        self.owner = 0
        self.layers: list[QwthnLayer] = []
        self.open = False
        self.complete = False
        self._places: list[tuple[dict[str, Any], str]] = []
        self._tensors: list[torch.Tensor] = []
        self._counts: list[tuple[int, int]] = []

    def __reduce__(self) -> tuple[type["Session"], tuple[()]]:
        return Session, ()

    def take(self, branches: Iterable[Branch]) -> None:
        """Remember the parameters of these branches as they are now."""
        self._places = [
            (module._parameters, name)
            for branch in branches
            for part in branch
            for module in part.modules()
            for name in module._parameters
        ]
        self._tensors = [place[name] for place, name in self._places]
        # a replica's modules have no parameters, and an inference tensor counts no writes
        self.complete = bool(self._tensors) and not any(tensor.is_inference() for tensor in self._tensors)
        self._counts = [(t._version, t.data_ptr()) for t in self._tensors] if self.complete else []

    def unchanged(self) -> bool:
        """Whether every parameter is the one that was taken, and was not written to since."""
        return (
            self.complete
            and all(map(is_, [place.get(name) for place, name in self._places], self._tensors))
            and [(t._version, t.data_ptr()) for t in self._tensors] == self._counts
        )


def watch(root: nn.Module) -> None:
    """Build all branches together whenever the model is called; calling this again changes nothing."""
    root.__dict__[SESSION] = Session()  # an adapter was added: look for layers again
    if _before_call not in root._forward_pre_hooks.values():
        root.register_forward_pre_hook(_before_call)
        root.register_forward_hook(_after_call, always_call=True)


def unwatch(root: nn.Module) -> None:
    """Leave the model as it was."""
    for hooks, ours in ((root._forward_pre_hooks, _before_call), (root._forward_hooks, _after_call)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            root._forward_hooks_always_called.pop(key, None)
    root.__dict__.pop(SESSION, None)


def _before_call(root: nn.Module, _: Any) -> None:
    if torch.compiler.is_compiling():
        return
    session = _session_of(root)
    if torch.is_grad_enabled() or not (session.unchanged() and _all_prepared(session.layers[:1])):
        _prepare_all(session)
    session.open = session.complete


def _after_call(root: nn.Module, *_: Any) -> None:
    if not torch.compiler.is_compiling():
        _session_of(root).open = False


def _prepare_all(session: Session) -> None:
    """Build the active branches of all layers.

    A layer that is passed over here, because its parameters are sharded or on no device yet, or that is called by
    itself, builds its own.
    """
    groups: dict[tuple[object, object, bool], list[tuple[QwthnLayer, str, Branch]]] = defaultdict(list)
    for layer, name, branch in _active(session.layers):
        tensors = branch.tensors()
        layer.forget_prepared(name)
        if all(type(t) in (nn.Parameter, torch.Tensor) and t.device.type != "meta" for t in tensors):
            shapes = tuple((t.shape, t.dtype, t.device) for t in tensors)
            if [t.shape for t in tensors] == layer.qwthn_shapes[name]:
                groups[branch.form(), shapes, needs_graph(tensors)].append((layer, name, branch))
    session.take(branch for members in groups.values() for _, _, branch in members)
    for (_, _, graph), members in groups.items():
        built: list[Prepared] = prepare([branch for _, _, branch in members], graph)
        for (layer, name, _), prepared in zip(members, built, strict=True):
            prepared.session = session
            layer.keep_prepared(name, prepared)


def _active(layers: Iterable[QwthnLayer]) -> Iterable[tuple[QwthnLayer, str, Branch]]:
    for layer in layers:
        if not layer.disable_adapters and not layer.merged:
            for name in layer.active_adapters:
                if name in layer.qwthn_compress:
                    yield layer, name, layer.branch_of(name)


def _all_prepared(layers: Iterable[QwthnLayer]) -> bool:
    return all(name in layer.qwthn_prepared for layer, name, _ in _active(layers))


def _session_of(root: nn.Module) -> Session:
    """The model's own; a copy or replica of the model looks for its own layers."""
    session: Session | None = root.__dict__.get(SESSION)
    if session is None or session.owner != id(root):
        session = root.__dict__[SESSION] = Session()
        session.owner = id(root)
        session.layers = [module for module in root.modules() if isinstance(module, QwthnLayer)]
    return session
