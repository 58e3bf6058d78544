"""What the best trial's adapter does on the test rows, which nothing was chosen by."""

import json
import tempfile
from pathlib import Path
from typing import Any

from qweft.comparison.adapters import take_off
from qweft.comparison.claims import claimed
from qweft.comparison.context import Context
from qweft.comparison.trial import ADAPTER
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.saved import put_on
from qweft.files import write_json

RECORD = "test.json"
"""In the trial's folder."""


def tested(context: Context, adapter: dict[str, Any], folder: Path) -> dict[str, float | None] | None:
    """Test losses of the untouched model and of the adapter of a trial, judged once; `None` while another process does.

    Args:
        context: What the trials share.
        adapter: The trial's specification.
        folder: The trial's own.

    Returns:
        {"base", "adapted", "standard_error"} in nats a token.
    """
    with claimed(folder) as ours:
        if not ours:
            return None
        if not (folder / RECORD).is_file():
            files = {path.name: path.read_bytes() for path in (folder / ADAPTER).iterdir()}
            write_json(folder / RECORD, context.executor.call(context, losses, adapter, files))
        found: dict[str, float | None] = json.loads((folder / RECORD).read_text("utf-8"))
        return found


def losses(context: Context, adapter: dict[str, Any], files: dict[str, bytes]) -> dict[str, float | None]:
    """The losses, where the weights of the base model are.

    Args:
        context: What the trials share.
        adapter: The specification.
        files: The adapter as it was saved, by name.
    """
    rows, pad, batch = context.data.test, context.loaded.tokenizer.pad_token_id, context.settings.evaluation.batch_size
    base = held_out_loss(context.loaded.model, rows, pad, batch)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        model = put_on(context.loaded, Path(folder))
    found = held_out_loss(model, rows, pad, batch)
    take_off(model, adapter)
    return {"base": base.loss, "adapted": found.loss, "standard_error": found.standard_error}
