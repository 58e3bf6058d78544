"""What a trained adapter does, measured before it is taken off again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qweft.comparison.adapters import take_off
from qweft.comparison.methods import Method
from qweft.data.collate import Collator
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.saved import put_on
from qweft.models.load import LoadedModel

ROWS = 4
"""So many validation rows are read, one batch."""


def of_a_kind_that_is_measured(adapter: Mapping[str, Any]) -> bool:
    """Whether a specification is this package's or a plain LoRA's, as far as it tells by itself."""
    kind = str(adapter.get("peft_type")).upper()
    plain_lora = kind == "LORA" and not adapter.get("use_dora") and not adapter.get("lora_bias")
    return "preset" in adapter or kind == "QWTHN" or plain_lora


def inspected(model: Any, method: Method, rows: Sequence[Encoded], pad_token_id: int) -> dict[str, Any] | None:
    """The inspection as JSON holds it; none where nothing of the adapter can be measured.

    That is an adapter of another kind, one without a linear layer that is this package's or a plain LoRA's (LoRA on
    embeddings), and one whose layers none of the rows reaches: all of these are runs like any other.
    """
    if not of_a_kind_that_is_measured(method.adapter):
        return None
    from qweft.analysis.inspect import inspect_adapter  # asked for by few comparisons

    try:
        found: dict[str, Any] = inspect_adapter(model, [Collator(pad_token_id)(rows[:ROWS])], "default").to_json()
    except QweftError:
        return None
    return found


def inspected_from(folder: Path, loaded: LoadedModel, method: Method, rows: Sequence[Encoded]) -> dict[str, Any] | None:
    """The inspection of an adapter that was saved, put on the shared base model and taken off again.

    Raises:
        QweftError: If the folder holds no adapter that fits the model.
    """
    model = put_on(loaded, folder)
    try:
        return inspected(model, method, rows, loaded.tokenizer.pad_token_id)
    finally:
        take_off(model, method.adapter)
