"""Terminal output of an inspection: tables by module name and by block, and sentences on the means."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from qweft.analysis.dequantise import Dequantised
from qweft.analysis.inspection import Inspection, LayerInspection, means
from qweft.evaluation.scores import CLEAR
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
AFFINE = 0.01
"""A core counts as affine below this share of variance that no affine map explains."""
ONE_MAP = 1e-9
"""A branch counts as one linear map below this varying share, which is rounding error."""

UPDATE = {
    "relative_size": "size: the update is {relative_size:.1%} of the base layers' outputs (rms)",
    "effective_rank_token": "rank at a token: {effective_rank_token:.1f} (effective) of at most {rank}, the limit of a "
    "LoRA of rank {rank} too",
    "rank_input": "over all tokens the update still reads {rank_input:.3g} directions of the input and writes "
    "{rank_output:.3g} of the output (effective {effective_rank_input:.1f} and {effective_rank_output:.1f}){between}",
    "different_maps": "different maps: the adapter is {different_maps:.1f} linear maps in effect, LoRA is 1; "
    "{varying_share:.1%} of the mean square of its Jacobian is not in the mean map",
    "non_affinity": "core: {non_affinity:.1%} of the variance of h is beyond any affine map of c{affine}",
}
SHARES = {
    False: "{what}: {circuit_share:.1%} of the update's mean square passes through it, {circuit_share_varying:.1%} "
    "differs from token to token and {bias:.1%} is a bias; its cross term with the linear part is {cross_share:+.1%}",
    # h = w * c has no bias: what does not vary is a fixed weight
    True: "{what}: {circuit_share_varying:.1%} of the update's mean square is due to its changes from token to token "
    "and {linear_share:.1%} to its mean, a fixed weight; their cross term is {cross_share:+.1%}",
}
STATES = {
    "entanglement": "states: entanglement {entanglement:.2f} (Meyer-Wallach, 0 product to 1)",
    "expressibility": "states: {expressibility:.2f} nats from random states over these tokens (the untrained circuit "
    "over random angles: {expressibility_ansatz:.2f}; 0 covers everything)",
    "gradient_variance": "gradient of <Z_0> over random starts of the circuit: variance {gradient_variance:.2g} for "
    "the first rotation, {gradient_variance_mean:.2g} over all angles",
}
"""Sentences on the means, each told if the number that it is named by was measured."""


def describe(inspection: Inspection) -> Group:
    """Return tables by module and, with several blocks, by block, followed by `sentences`."""
    title = f"{inspection.adapter}: {inspection.rows} rows, {inspection.tokens} tokens a layer"
    tables = [_table(title, "module", inspection.layers)]
    in_blocks = [layer for layer in inspection.layers if layer.block is not None]
    if len({layer.block for layer in in_blocks}) > 1:
        tables.append(_table("", "block", in_blocks))
    replaced = [] if inspection.dequantised is None else replacements(inspection.dequantised)
    return Group(*tables, *sentences(inspection), *replaced)


def replacements(dequantised: Dequantised) -> list[Any]:
    """Return a table of the fits, and lines on the gain and on the fits that were left out."""
    rows = f"fitted on {dequantised.rows_fitted} rows, judged on {dequantised.rows_judged}"
    title = f"{dequantised.circuits} circuits replaced: {rows}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("q(c) replaced by")
    for head in ("terms", "variance\nmissed", "loss", "gain kept"):
        table.add_column(head, justify="right")
    table.add_row("base model", "", "", f"{dequantised.base:.4f}", "0%")
    for kind, fit in dequantised.fits.items():
        kept = "-" if fit.kept is None else f"{fit.kept:.1%}{_error(fit.kept_error, '.1%')}"
        table.add_row(FITS[kind], f"{fit.terms:,}", f"{fit.unexplained:.2%}", f"{fit.loss:.4f}", kept)
    table.add_row("nothing: the circuit", "", "", f"{dequantised.adapter:.4f}", "100%")
    gain, error = dequantised.gain, dequantised.gain_error
    line = f"gain over the base model: {gain:.4f}{_error(error, '.4f')} nats a token"
    if 0 < gain <= CLEAR * (error or 0.0):
        line += ", within twice its standard error: shares of it mean nothing"
    return [table, line, *(f"left out, {FITS[kind]}: {why}" for kind, why in dequantised.left_out.items())]


def _error(error: float | None, form: str) -> str:
    return "" if error is None else f" ± {error:{form}}"


def _table(title: str, kind: str, layers: Sequence[LayerInspection]) -> Table:
    """Return a table of the means of layers grouped by module or block, without columns that are empty everywhere."""
    overall = means(layers)
    shown = {name: head for name, head in COLUMNS.items() if overall[name] is not None}
    table = Table(title=title or None, box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    table.add_column(kind, overflow="fold")
    for head in ("layers", *shown.values()):
        table.add_column(head, justify="right")
    for key in dict.fromkeys(getattr(layer, kind) for layer in layers):
        members = [layer for layer in layers if getattr(layer, kind) == key]
        of_group = means(members)
        table.add_row(str(key), str(len(members)), *(_cell(name, of_group[name]) for name in shown))
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if name in IN_PERCENT else f"{value:.2f}"


def sentences(inspection: Inspection) -> list[str]:
    """Return the findings from the means over layers, and the layers that were not measured."""
    layers = inspection.layers
    lines = [*_on_means(means(layers), max(layer.rank for layer in layers), any(layer.weighs for layer in layers))]
    norms = [layer.gradient_norms for layer in layers if layer.gradient_norms is not None]
    values = {part: [value for each in norms if (value := each[part]) is not None] for part in PARTS}
    if parts := [f"{part.replace('_', ' ')} {fmean(each):.2g}" for part, each in values.items() if each]:
        lines.append(f"gradient of the loss, mean norm over layers: {', '.join(parts)}")
    if inspection.left_out:
        lines.append(f"not measured, no plain LoRA on a linear layer: {', '.join(inspection.left_out)}")
    if inspection.unreached:
        lines.append(f"not measured, no token reached them: {', '.join(inspection.unreached)}")
    return lines


def _on_means(found: dict[str, Any], rank: int, weighs: bool) -> Iterator[str]:
    if not found["rank_token"]:
        yield "the update is zero: an adapter that was not trained changes nothing"
    else:
        words: dict[str, Any] = {"rank": rank, "between": "", "affine": ""}
        if (found["varying_share"] or 0.0) >= ONE_MAP:
            words["between"] = ": what differs from token to token is the map between them"
        if (found["non_affinity"] or 0.0) < AFFINE:
            words["affine"] = "; in effect it is affine, so a LoRA and a bias do nearly the same"
        yield from (text.format(**found | words) for name, text in UPDATE.items() if found[name] is not None)
    if found["circuit_share"] is not None:
        what = "circuit" if found["entanglement"] is not None else "function in the circuit's place"
        bias = found["circuit_share"] - found["circuit_share_varying"]
        yield SHARES[weighs].format(what=what, bias=bias, **found)
    yield from (text.format(**found) for name, text in STATES.items() if found[name] is not None)
