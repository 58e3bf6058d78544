"""Build the matrices and angles of all branches of a model together, before the model runs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import is_
from typing import Any

import torch
from torch import nn

from qweft.adapter.branch import Branch
from qweft.adapter.build import needs_graph, prepare
from qweft.adapter.directions import give, is_distributed
from qweft.adapter.find_bases import find_bases
from qweft.adapter.layer import QwthnLinear
from qweft.internals.torch import is_replica, is_transformed, places, version

SESSION, HOOKS = "_qwthn_session", "_qwthn_hooks"
"""Attributes on the model: its session, and the handles of its hooks."""

Member = tuple[QwthnLinear, str, Branch]
"""A layer, the name of an adapter, and its branch there."""


class Session:
    """The adapted layers of one model, and what was built for its last call. A copy starts empty."""

    def __init__(self, root: nn.Module | None = None) -> None:
        self.owner = id(root)
        self.layers = [] if root is None else [each for each in root.modules() if isinstance(each, QwthnLinear)]
        self.is_open = self.is_complete = False
        self._states: list[tuple[int, int]] | None = None
        self._contents: list[torch.Tensor] = []

    def __reduce__(self) -> tuple[type["Session"], tuple[()]]:
        return Session, ()

    def open(self, root: Any, is_next_token: bool = False) -> None:
        """Build the active branches, unless those of the last call still hold.

        A call for the next token of a generation does not read the parameters' contents: it must stay fast.
        """
        if torch.is_grad_enabled() or not self.still_holds() or not (is_next_token or self._has_same_contents()):
            missing = self._build()
            # here, since a checkpoint would draw random directions in the first of its two passes only
            asked = [name for name in sorted(missing) if root.peft_config[name].resolved().basis != "gradient"]
            if asked and not is_replica(root):
                for name in asked:
                    find_bases(root, None, name)
                self._build()
        self.is_open = self.is_complete

    def still_holds(self) -> bool:
        """Whether the same adapters are active with the same tensors, and no version counter of these has moved."""
        return (
            self._states is not None
            and self._active_adapters() == self._active
            and all(map(self._is_kept, *self._places))  # eval() and a layer's own call let go of it
            and all(map(is_, map(dict.get, self._held_in, self._names), self._tensors))
            and self._read() == self._states
        )

    def _is_kept(self, layer: QwthnLinear, name: str) -> bool:
        prepared = layer.qwthn_prepared.get(name)
        return prepared is not None and prepared.session is self

    def _read(self) -> list[tuple[int, int]]:
        """Return version and address of each tensor; the address changes by `parameter.data = ...`."""
        return [(version(tensor), tensor.data_ptr()) for tensor in self._tensors]

    def _has_same_contents(self) -> bool:
        """Whether the tensors hold the numbers of the last build: version counters miss writes by `parameter.data`."""
        return all(map(torch.equal, _contents(self._tensors), self._contents))

    def _active_adapters(self) -> list[object]:
        """Return what decides which branches run, by the first layer: PEFT switches all layers together."""
        return [
            (str(each.active_adapter), each.disable_adapters, len(each.merged_adapters)) for each in self.layers[:1]
        ]

    def _build(self) -> set[str]:
        """Build the active branches of all layers, one batch for each form; return adapters without directions.

        A layer whose parameters are sharded or on the meta device builds its own. So does one that needs gradients in
        several processes: each parameter's gradient must arrive there as early as possible, and once.
        """
        groups: dict[tuple[object, object, bool], list[Member]] = defaultdict(list)
        missing = set()
        for layer in self.layers:
            layer.qwthn_prepared = {}
        for layer, name, branch in self._active_branches():
            tensors = branch.tensors()
            graph = needs_graph(tensors)
            if name in layer.qwthn_found:
                directions = layer.qwthn_found.pop(name)
                for each in layer.sharing(name):
                    give(each, directions)
            if graph and not branch.is_found:
                missing.add(name)
                continue  # it adds nothing yet
            plain = all(type(t) in (nn.Parameter, torch.Tensor) and t.device.type != "meta" for t in tensors)
            if plain and [t.shape for t in tensors] == layer.qwthn_shapes[name] and not (graph and is_distributed()):
                shapes = tuple((t.shape, t.dtype, t.device) for t in tensors)
                groups[branch.form(), shapes, graph].append((layer, name, branch))
        self._take([member for group in groups.values() for member in group], any(graph for _, _, graph in groups))
        for (_, _, graph), group in groups.items():
            built = prepare([branch for _, _, branch in group], graph)
            for (layer, name, _), prepared in zip(group, built, strict=True):
                prepared.session = self
                layer.keep_prepared(name, prepared)
        return missing

    def _take(self, members: Sequence[Member], graph: bool) -> None:
        """Note from which tensors these branches are built."""
        held = [at for _, _, branch in members for part in branch for each in part.modules() for at in places(each)]
        self._held_in, self._names, self._tensors = map(list, zip(*held, strict=True)) if held else ([], [], [])
        self._places = [layer for layer, _, _ in members], [name for _, name, _ in members]
        self._active = self._active_adapters()
        # a replica's modules have no parameters, and an inference tensor has no version counter
        self.is_complete = bool(held) and not any(tensor.is_inference() for tensor in self._tensors)
        is_kept = self.is_complete and not graph
        self._states = self._read() if is_kept else None
        self._contents = _contents(self._tensors) if is_kept else []

    def _active_branches(self) -> Iterator[Member]:
        for layer in self.layers:
            if not layer.disable_adapters and not layer.merged:
                for name in layer.active_adapters:
                    if name in layer.qwthn_compress:
                        yield layer, name, layer.branch_of(name)


def _contents(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return a copy of the tensors' numbers, as one flat tensor for each type and device."""
    groups: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = defaultdict(list)
    for tensor in tensors:
        groups[tensor.dtype, tensor.device].append(tensor.detach().reshape(-1))
    return [torch.cat(parts) for parts in groups.values()]


def watch(root: nn.Module) -> None:
    """Build all branches together whenever the model is called; calling this again changes nothing."""
    root.__dict__[SESSION] = Session(root)  # an adapter was added: search for layers again
    if HOOKS not in root.__dict__:
        after = root.register_forward_hook(_after_call, always_call=True)
        root.__dict__[HOOKS] = (root.register_forward_pre_hook(_before_call, with_kwargs=True), after)


def unwatch(root: nn.Module) -> None:
    """Remove what `watch` added."""
    for handle in root.__dict__.pop(HOOKS, ()):
        handle.remove()
    root.__dict__.pop(SESSION, None)


def _before_call(root: nn.Module, inputs: tuple[Any, ...], named_inputs: dict[str, Any]) -> None:
    if not torch.compiler.is_compiling() and not is_transformed():
        _session_of(root).open(root, _reads_one_token(inputs, named_inputs))


def _reads_one_token(inputs: tuple[Any, ...], named_inputs: dict[str, Any]) -> bool:
    """Whether a model is called on one token of each row, as in a step of a generation."""
    tokens = named_inputs.get("input_ids")
    if tokens is None and inputs:
        tokens = inputs[0]
    return isinstance(tokens, torch.Tensor) and not tokens.is_floating_point() and tokens.shape[1:] == (1,)


def _after_call(root: nn.Module, *_: Any) -> None:
    if not torch.compiler.is_compiling() and not is_transformed():
        _session_of(root).is_open = False


def _session_of(root: nn.Module) -> Session:
    """Return the model's own session; a copy or replica of the model searches for its own layers."""
    session: Session | None = root.__dict__.get(SESSION)
    if session is None or session.owner != id(root):
        session = root.__dict__[SESSION] = Session(root)
    return session
