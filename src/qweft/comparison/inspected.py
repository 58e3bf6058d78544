"""What a trained adapter does, measured before it is taken off again."""

from collections.abc import Sequence
from typing import Any

from qweft.comparison.methods import Method
from qweft.data.collate import Collator
from qweft.data.tokens import Encoded

ROWS = 8
"""So many validation rows are read, one batch."""


def inspected(model: Any, method: Method, rows: Sequence[Encoded], pad_token_id: int) -> dict[str, Any] | None:
    """The inspection as JSON holds it; none for an adapter that is neither this package's nor a LoRA."""
    if not rows or ("preset" not in method.adapter and str(method.adapter.get("peft_type")).upper() != "LORA"):
        return None
    from qweft.analysis import inspect_adapter  # asked for by few comparisons

    found: dict[str, Any] = inspect_adapter(model, [Collator(pad_token_id)(rows[:ROWS])], "default").to_json()
    return found
