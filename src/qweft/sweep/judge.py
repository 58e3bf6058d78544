"""What the best trial's adapter does on the test rows, which nothing was chosen by."""

import json
import tempfile
from pathlib import Path
from typing import Any

from qweft.comparison.adapters import take_off
from qweft.comparison.bench import Bench
from qweft.comparison.claims import claimed
from qweft.comparison.trial import ADAPTER
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.saved import put_on
from qweft.files import write_json

RECORD = "test.json"
"""In the trial's folder."""


def tested(bench: Bench, adapter: dict[str, Any], folder: Path) -> dict[str, float | None] | None:
    """Test losses of the untouched model and of the adapter of a trial, judged once; none while another process does.

    Args:
        bench: What the trials share.
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
            write_json(folder / RECORD, bench.executor.call(bench, losses, adapter, files))
        found: dict[str, float | None] = json.loads((folder / RECORD).read_text("utf-8"))
        return found


def losses(bench: Bench, adapter: dict[str, Any], files: dict[str, bytes]) -> dict[str, float | None]:
    """The losses, where the weights of the base model are.

    Args:
        bench: What the trials share.
        adapter: The specification.
        files: The adapter as it was saved, by name.
    """
    rows, pad, batch = bench.data.test, bench.loaded.tokenizer.pad_token_id, bench.config.evaluation.batch_size
    base = held_out_loss(bench.loaded.model, rows, pad, batch)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        model = put_on(bench.loaded, Path(folder))
    found = held_out_loss(model, rows, pad, batch)
    take_off(model, adapter)
    return {"base": base.loss, "adapted": found.loss, "standard_error": found.standard_error}
