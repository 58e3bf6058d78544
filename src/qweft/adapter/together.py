"""Before a model runs, the matrices and angles of all its branches are built together."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from qweft.adapter.layer import QwthnLayer
from qweft.adapter.prepared import Branch, needs_graph, prepare


def watch(root: nn.Module) -> None:
    """Build all branches together whenever the model is called; calling this again changes nothing."""
    root._qwthn_layers = None  # type: ignore[assignment]  # an adapter was added: look for layers again
    if _before_call not in root._forward_pre_hooks.values():
        root.register_forward_pre_hook(_before_call)


def unwatch(root: nn.Module) -> None:
    """Leave the model as it was."""
    for key, hook in list(root._forward_pre_hooks.items()):
        if hook is _before_call:
            del root._forward_pre_hooks[key]
    root.__dict__.pop("_qwthn_layers", None)


def _before_call(root: nn.Module, _: Any) -> None:
    prepare_all(root)


def prepare_all(root: nn.Module) -> None:
    """Build the active branches of all layers: anew with a graph, without one only after a parameter changed.

    A layer that is passed over here, because its parameters are sharded or on no device yet, or that is called by
    itself, builds its own.
    """
    if torch.compiler.is_compiling():
        return
    layers = _layers_of(root)
    if not torch.is_grad_enabled() and all(layer.is_prepared() for layer in layers[:1]):
        return  # parameters change together; a layer that changed alone finds out by itself
    groups: dict[tuple[object, object, bool], list[tuple[QwthnLayer, str, Branch]]] = defaultdict(list)
    for layer, name, branch in _active(layers):
        tensors = branch.tensors()
        layer.forget_prepared(name)
        if all(type(t) in (nn.Parameter, torch.Tensor) and t.device.type != "meta" for t in tensors):
            shapes = tuple((t.shape, t.dtype, t.device) for t in tensors)
            if [t.shape for t in tensors] == layer.qwthn_shapes[name]:
                groups[branch.form(), shapes, needs_graph(tensors)].append((layer, name, branch))
    for (_, _, graph), members in groups.items():
        for (layer, name, _), prepared in zip(members, prepare([m[2] for m in members], graph), strict=True):
            layer.keep_prepared(name, prepared)


def _active(layers: Iterable[QwthnLayer]) -> Iterable[tuple[QwthnLayer, str, Branch]]:
    for layer in layers:
        if not layer.disable_adapters and not layer.merged:
            for name in layer.active_adapters:
                if name in layer.qwthn_compress:
                    yield layer, name, layer.branch_of(name)


def _layers_of(root: nn.Module) -> list[QwthnLayer]:
    """The adapted layers, looked for once; a copy or replica of the model looks for its own."""
    found = root.__dict__.get("_qwthn_layers")
    if found is None or found[0] != id(root):
        found = (id(root), [module for module in root.modules() if isinstance(module, QwthnLayer)])
        root.__dict__["_qwthn_layers"] = found
    layers: list[QwthnLayer] = found[1]
    return layers
