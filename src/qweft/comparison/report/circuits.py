"""The circuits of the methods."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qweft.adapter.attach import adapter_config
from qweft.adapter.config import QwthnConfig
from qweft.adapter.functions import make_function
from qweft.circuit import Circuit
from qweft.comparison.results import Run
from qweft.errors import QweftError
from qweft.method.names import function_of, has_circuit


class Drawn(NamedTuple):
    """A circuit, the methods that have it, and whether they train its angles."""

    circuit: Circuit
    methods: tuple[str, ...]
    trained: bool


def circuits(runs: Sequence[Run]) -> list[Drawn]:
    """Return every distinct circuit with the names of its methods."""
    found: dict[tuple[Circuit, bool], list[str]] = {}
    for method, adapter in {run.method: run.adapter for run in runs if run.adapter}.items():
        for circuit in _circuits_of(adapter):
            found.setdefault(circuit, []).append(method)
    return [Drawn(circuit, tuple(methods), trained) for (circuit, trained), methods in found.items()]


def _circuits_of(adapter: Mapping[str, Any]) -> list[tuple[Circuit, bool]]:
    """Return the circuits of an adapter's layers, one per rank, and whether they are trained."""
    try:
        config = adapter_config(adapter)
    except QweftError:
        return []
    if not isinstance(config, QwthnConfig) or not has_circuit(config.core):
        return []
    ranks = dict.fromkeys([config.r, *config.rank_pattern.values()])
    functions = [make_function(function_of(config.core) or "", config.resolved(rank)) for rank in ranks]
    return [(function.circuit, bool(function.trained)) for function in functions if function.circuit is not None]
