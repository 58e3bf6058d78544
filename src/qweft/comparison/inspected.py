"""What a trained adapter does, measured before it is taken off again."""

from collections.abc import Sequence
from typing import Any

from qweft.comparison.methods import Method
from qweft.data.collate import Collator
from qweft.data.tokens import Encoded

ROWS = 4
"""So many validation rows are read, one batch."""


def inspected(model: Any, method: Method, rows: Sequence[Encoded], pad_token_id: int) -> dict[str, Any] | None:
    """The inspection as JSON holds it; none for an adapter that is neither this package's nor a plain LoRA."""
    plain_lora = str(method.adapter.get("peft_type")).upper() == "LORA" and not method.adapter.get("use_dora")
    if not rows or not ("preset" in method.adapter or plain_lora):
        return None
    from qweft.analysis.inspect import inspect_adapter  # asked for by few comparisons

    found: dict[str, Any] = inspect_adapter(model, [Collator(pad_token_id)(rows[:ROWS])], "default").to_json()
    return found
