"""Terminal output of an inspection: tables by module name and by block, and the means of all measures."""

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from qweft.evaluation.scores import CLEAR
from qweft.inspect.dequantise import Dequantised
from qweft.inspect.inspection import Inspection, LayerInspection, means
from qweft.inspect.measures import EMPTY, MEASURES, REPLACED, inspections, measure_rows

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
"""Displayed measures and their column heads; with a ten-character name they fit into 80 columns."""


def describe(inspection: Inspection) -> Group:
    """Return tables by module and, with several blocks, by block, the means of all measures, and what is missing."""
    title = f"{inspection.adapter}: {inspection.rows} rows, {inspection.tokens} tokens a layer"
    tables = [_table(title, "module", inspection.layers)]
    in_blocks = [layer for layer in inspection.layers if layer.block is not None]
    if len({layer.block for layer in in_blocks}) > 1:
        tables.append(_table("", "block", in_blocks))
    measures = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("mean over layers", "", "range", ""):
        measures.add_column(head)
    own = inspections([{"method": inspection.adapter, "inspection": inspection.to_json()}])
    for title, meaning, [(mean, spread)] in measure_rows(own):
        measures.add_row(title, mean, spread, meaning)
    missing = {"no plain LoRA on a linear layer": inspection.left_out, "no token reached them": inspection.unreached}
    lines = [f"not measured, {why}: {', '.join(names)}" for why, names in missing.items() if names]
    if inspection.dequantised is not None:
        lines += replacements(inspection.dequantised)
    return Group(*tables, measures, *lines)


def replacements(dequantised: Dequantised) -> list[str]:
    """Return lines on the rows, on the gain, and on the fits that were left out."""
    rows = f"fitted on {dequantised.rows_fitted} rows, judged on {dequantised.rows_judged}"
    gain, error = dequantised.gain, dequantised.gain_error or math.nan
    line = f"gain over the base model: {gain:.4f} ± {error:.4f} nats a token"
    if gain <= CLEAR * error:
        line += ", not above twice its standard error: no share of it is told"
    left_out = [f"left out, {REPLACED[kind]}: {why}" for kind, why in dequantised.left_out.items()]
    return [f"{dequantised.circuits} circuits replaced: {rows}", line, *left_out]


def _table(title: str, kind: str, layers: Sequence[LayerInspection]) -> Table:
    """Return a table of the means of layers grouped by module or block, without columns that are empty everywhere."""
    overall = means(layers)
    shown = [measure for measure in MEASURES if measure.key in COLUMNS and overall.get(measure.key) is not None]
    table = Table(title=title or None, box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    table.add_column(kind, overflow="fold")
    for head in ("layers", *(COLUMNS[measure.key] for measure in shown)):
        table.add_column(head, justify="right")
    for key in dict.fromkeys(getattr(layer, kind) for layer in layers):
        members = [layer for layer in layers if getattr(layer, kind) == key]
        of_group = means(members)
        values = [(measure, of_group.get(measure.key)) for measure in shown]
        table.add_row(str(key), str(len(members)), *(EMPTY if mean is None else by.said(mean) for by, mean in values))
    return table
