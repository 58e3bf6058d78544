"""The circuits of a comparison's methods, each drawn once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qweft.adapter.attach import adapter_config
from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import function_of, has_circuit
from qweft.adapter.functions import make_function
from qweft.circuit import Circuit
from qweft.comparison.results import Run
from qweft.errors import QweftError


class Drawn(NamedTuple):
    """A circuit, the methods that have it, and whether they train its angles."""

    circuit: Circuit
    methods: tuple[str, ...]
    trained: bool


def circuits(runs: Sequence[Run]) -> list[Drawn]:
    """Every distinct circuit with the names of its methods.

    Args:
        runs: All runs of one comparison.
    """
    found: dict[tuple[Circuit, bool], list[str]] = {}
    adapters = {run.method: run.adapter for run in runs if run.adapter}
    for method, adapter in adapters.items():
        for circuit, trained in circuits_of(adapter):
            found.setdefault((circuit, trained), []).append(method)
    return [Drawn(circuit, tuple(methods), trained) for (circuit, trained), methods in found.items()]


def circuits_of(adapter: Mapping[str, Any]) -> list[tuple[Circuit, bool]]:
    """The circuits of an adapter's layers, one for each rank, and whether they are trained; empty where it has none.

    Args:
        adapter: Its specification, as in the configuration. One that this version does not know has no drawing.
    """
    try:
        config = adapter_config(adapter)
    except QweftError:
        return []
    if not isinstance(config, QwthnConfig) or not has_circuit(config.core):
        return []
    ranks = dict.fromkeys([config.r, *config.rank_pattern.values()])
    name = function_of(config.core) or ""
    resolved = [config.resolved(rank) for rank in ranks]
    functions = [make_function(name, at.qubits, at.circuit_layers, at.reupload) for at in resolved]
    return [(function.circuit, bool(function.trained)) for function in functions if function.circuit is not None]
