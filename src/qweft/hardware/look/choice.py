"""One layer chosen by a name, the end of one, or a pattern."""

from collections.abc import Collection

from qweft.errors import QweftError
from qweft.evaluation.layer_names import met_by, some
from qweft.suggest import near


def one_layer(pattern: str, layers: Collection[str]) -> str:
    """The layer that is meant.

    Args:
        pattern: A whole name, the end of one after a dot, or either with * and ?.
        layers: The layers with a circuit.

    Raises:
        QweftError: If none is named, or none or several are met.
    """
    if not pattern:
        raise QweftError(f"--layer is missing; the layers with a circuit are {some(layers)}")
    if pattern in layers:
        return pattern
    met = met_by(pattern, layers)
    if len(met) == 1:
        return met[0]
    if met:
        raise QweftError(f"--layer: {pattern} meets more than one layer: {some(met)}; name one of them")
    nearest = _nearest(pattern, layers)
    what = f"did you mean {nearest}?" if nearest else f"the layers with a circuit are {some(layers)}"
    raise QweftError(f"--layer: {pattern} meets no layer with a circuit; {what}")


def _nearest(pattern: str, layers: Collection[str]) -> str | None:
    """The layer whose end of as many parts is nearest to what was typed."""
    parts = pattern.count(".") + 1
    ends: dict[str, str] = {}
    for layer in layers:
        ends.setdefault(".".join(layer.split(".")[-parts:]), layer)
    close = near(pattern, ends, cutoff=0.75)
    return ends[close[0]] if close else None
