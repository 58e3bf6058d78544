"""Terminal output of an inspection: tables by module name and by block, and sentences on the means."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from qweft.analysis.dequantise import Dequantised
from qweft.analysis.inspection import Inspection, LayerInspection, means
from qweft.evaluation.row_scores import CLEAR
from qweft.method.names import PARTS

COLUMNS = {
    "effective_rank_token": "rank\ntoken",
    "effective_rank_input": "rank\nin",
    "effective_rank_output": "rank\nout",
    "different_maps": "maps",
    "relative_size": "size",
    "non_affinity": "not\naffine",
    "circuit_share": "circuit",
    "circuit_share_varying": "varying",
    "entanglement": "entan-\ngled",
    "expressibility": "from\nHaar",
}
"""Displayed scalars and their column heads; with a ten-character name they fit into 80 columns."""
IN_PERCENT = {"relative_size", "non_affinity", "circuit_share", "circuit_share_varying"}
FITS = {
    "constant": "a constant",
    "affine": "an affine map",
    "quadratic": "a quadratic",
    "fourier": "a Fourier series",
}
"""What takes the place of a circuit."""
AFFINE = 0.01
"""A core counts as affine below this share of variance that no affine map explains."""
ONE_MAP = 1e-9
"""A branch counts as one linear map below this varying share, which is rounding error."""


def describe(inspection: Inspection) -> Group:
    """Return tables by module and, with several blocks, by block, followed by `sentences`."""
    title = f"{inspection.adapter}: {inspection.rows} rows, {inspection.tokens} tokens a layer"
    tables = [_table(title, "module", {layer.module: layer.module for layer in inspection.layers}, inspection.layers)]
    blocks = {layer.block: str(layer.block) for layer in inspection.layers if layer.block is not None}
    if len(blocks) > 1:
        tables.append(_table("", "block", blocks, inspection.layers))
    replaced = [] if inspection.dequantised is None else _on_replacements(inspection.dequantised)
    return Group(*tables, *sentences(inspection), *replaced)


def _on_replacements(found: Dequantised) -> list[Any]:
    """Return a table of the fits, and lines on the gain and on the fits that were left out."""
    table = Table(
        title=f"{found.circuits} circuits replaced: fitted on {found.rows_fitted} rows, judged on {found.rows_judged}",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("q(c) replaced by")
    for head in ("terms", "variance\nmissed", "loss", "gain kept"):
        table.add_column(head, justify="right")
    table.add_row("base model", "", "", f"{found.base:.4f}", "0%")
    for kind, fit in found.fits.items():
        kept = "-" if fit.kept is None else f"{fit.kept:.1%}{_error(fit.kept_error, '.1%')}"
        table.add_row(FITS[kind], f"{fit.terms:,}", f"{fit.unexplained:.2%}", f"{fit.loss:.4f}", kept)
    table.add_row("nothing: the circuit", "", "", f"{found.adapter:.4f}", "100%")
    line = f"gain over the base model: {found.gain:.4f}{_error(found.gain_error, '.4f')} nats a token"
    if 0 < found.gain <= CLEAR * (found.gain_error or 0.0):
        line += ", within twice its standard error: shares of it mean nothing"
    return [table, line, *(f"left out, {FITS[kind]}: {why}" for kind, why in found.left_out.items())]


def _error(error: float | None, form: str) -> str:
    """Return a standard error as text."""
    return "" if error is None else f" ± {error:{form}}"


def _table(title: str, kind: str, groups: Mapping[Any, str], layers: Sequence[LayerInspection]) -> Table:
    """Return a table of the means of each group of layers, without columns that are empty everywhere."""
    overall = means(layers)
    shown = {name: head for name, head in COLUMNS.items() if overall[name] is not None}
    table = Table(title=title or None, box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    table.add_column(kind, overflow="fold")
    for head in ("layers", *shown.values()):
        table.add_column(head, justify="right")
    for key, label in groups.items():
        members = [layer for layer in layers if getattr(layer, kind) == key]
        found = means(members)
        table.add_row(label, str(len(members)), *(_cell(name, found[name]) for name in shown))
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if name in IN_PERCENT else f"{value:.2f}"


def sentences(inspection: Inspection) -> list[str]:
    """Return the findings from the means over layers, and the layers that were not measured."""
    found = means(inspection.layers)
    rank = max(layer.rank for layer in inspection.layers)
    weighs = any(layer.shares is not None and layer.shares.weighs for layer in inspection.layers)
    lines = [
        *_on_ranks(found, rank),
        *_on_the_core(found, weighs),
        *_on_states(found),
        *_on_gradients(inspection.layers),
    ]
    if inspection.chips is not None:
        lines.append(f"on a chip: its training would take {inspection.chips.sentence()}")
    if inspection.left_out:
        lines.append(f"not measured, no plain LoRA on a linear layer: {', '.join(inspection.left_out)}")
    if inspection.unreached:
        lines.append(f"not measured, no token reached them: {', '.join(inspection.unreached)}")
    return lines


def _on_ranks(found: dict[str, float | None], rank: int) -> list[str]:
    if not found["rank_token"]:
        return ["the update is zero: an adapter that was not trained changes nothing"]
    size = found["relative_size"]
    lines = [] if size is None else [f"size: the update is {size:.1%} of the base layers' outputs (rms)"]
    lines.append(
        f"rank at a token: {found['effective_rank_token']:.1f} (effective) of at most {rank}, the limit "
        f"of a LoRA of rank {rank} too"
    )
    varying = found["varying_share"] or 0.0
    lines.append(
        f"over all tokens the update still reads {found['rank_input']:.3g} directions of the input and writes "
        f"{found['rank_output']:.3g} of the output (effective {found['effective_rank_input']:.1f} and "
        f"{found['effective_rank_output']:.1f})"
        + ("" if varying < ONE_MAP else ": what differs from token to token is the map between them")
    )
    lines.append(
        f"different maps: the adapter is {found['different_maps']:.1f} linear maps in effect, LoRA is 1; {varying:.1%} "
        "of the mean square of its Jacobian is not in the mean map"
    )
    return lines


def _on_the_core(found: dict[str, float | None], weighs: bool) -> list[str]:
    lines = []
    beyond = found["non_affinity"]
    if beyond is not None:
        verdict = "; in effect it is affine, so a LoRA and a bias do nearly the same" if beyond < AFFINE else ""
        lines.append(f"core: {beyond:.1%} of the variance of h is beyond any affine map of c{verdict}")
    share, varying = found["circuit_share"], found["circuit_share_varying"]
    if share is None or varying is None:
        return lines
    what = "circuit" if found["entanglement"] is not None else "function in the circuit's place"
    if weighs:  # h = w * c has no bias: what does not vary is a fixed weight
        lines.append(
            f"{what}: {varying:.1%} of the update's mean square is due to its changes from token to token and "
            f"{found['linear_share']:.1%} to its mean, a fixed weight; their cross term is {found['cross_share']:+.1%}"
        )
    else:
        lines.append(
            f"{what}: {share:.1%} of the update's mean square passes through it, {varying:.1%} differs from token to "
            f"token and {share - varying:.1%} is a bias; its cross term with the linear part is "
            f"{found['cross_share']:+.1%}"
        )
    return lines


def _on_states(found: dict[str, float | None]) -> list[str]:
    entangled, covered = found["entanglement"], found["expressibility"]
    if entangled is None:
        return []
    line = f"states: entanglement {entangled:.2f} (Meyer-Wallach, 0 product to 1)"
    if covered is not None:
        line += (
            f"; {covered:.2f} nats from random states over these tokens (the untrained circuit over random angles: "
            f"{found['expressibility_ansatz']:.2f}; 0 covers everything)"
        )
    if found["gradient_variance"] is None:
        return [line]
    return [
        line,
        f"gradient of <Z_0> over random starts of the circuit: variance {found['gradient_variance']:.2g} for the first "
        f"rotation, {found['gradient_variance_mean']:.2g} over all angles",
    ]


def _on_gradients(layers: Sequence[LayerInspection]) -> list[str]:
    norms = [layer.gradient_norms for layer in layers if layer.gradient_norms is not None]
    parts = []
    for part in PARTS:
        values = [value for found in norms if (value := found[part]) is not None]
        if values:
            parts.append(f"{part.replace('_', ' ')} {sum(values) / len(values):.2g}")
    return [f"gradient of the loss, mean norm over layers: {', '.join(parts)}"] if parts else []
