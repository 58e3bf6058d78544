"""Circuit drawings and spectra of the updates."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qweft.adapter.attach import adapter_config
from qweft.adapter.config import QwthnConfig
from qweft.adapter.functions import make_function
from qweft.circuit import Circuit
from qweft.comparison.report.inspection import Inspection
from qweft.comparison.results import Run
from qweft.errors import QweftError
from qweft.figures.figure import End, ReportFigure, dress, name_at_right
from qweft.figures.styles import Style
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


def spectra_figure(
    found: Mapping[str, Inspection], styles: Mapping[str, Style], named: Collection[str]
) -> ReportFigure | None:
    """Return the figure of singular values, or `None` if no method has a spectrum."""
    own = [entry for entry in found.values() if entry.spectrum]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for entry in own:
            style, values = styles[entry.method], entry.spectrum
            axes.plot(range(1, len(values) + 1), values, color=style.hex, linestyle=style.line, linewidth=1.6,
                      marker=style.marker, markersize=4.5, markeredgewidth=0)  # fmt: skip
        axes.set_xlim(0.8, max(len(entry.spectrum) for entry in own) + 0.2)
        axes.set_ylim(0, 1.04)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("singular value, largest first")
        dress(axes)
        ends = [End(entry.spectrum[-1], entry.method, styles[entry.method]) for entry in own if entry.method in named]
        name_at_right(axes, ends)

    if not own:
        return None
    return ReportFigure(
        "spectra",
        "Singular values of the branches",
        "Of the Jacobians over all tokens, each as a share of the layer's largest; mean over layers.",
        "; ".join(f"{e.method}: {', '.join(f'{value:.2g}' for value in e.spectrum[:8])}" for e in own),
        3.9,
        draw,
    )
