"""Whether an adapter was trained on rows that it is to be judged on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.data.checks import may_share
from qweft.data.config import DataConfig
from qweft.data.load import Data, load_data
from qweft.errors import QweftError
from qweft.evaluation.record import is_own_run, recorded_rows, run_config, tell


def check_unseen(adapter: Path, overrides: Mapping[str, Any], data: Data, split: str, tokenizer: Any) -> None:
    """Refuse to judge an adapter on rows that its run trained on."""
    given, own = overrides.get("data"), run_config(adapter).get("data")
    if not own or not is_own_run(adapter):  # a stranger's record does not choose what is read
        return
    compares = "name" not in overrides.get("model", {})  # another model may have another tokenizer
    if not given:
        if compares:
            _tell_changed(adapter, data, split)
        return
    run = DataConfig(**own)
    known = [*_places(run, "train"), *_places(run, split)]
    if not any(may_share(one, other) for one in known for other in _places(data.config, split)):
        return
    try:
        before = load_data(run, tokenizer)
    except QweftError as error:
        tell(f"note: whether the adapter was trained on rows that it is judged on cannot be told ({error})")
        return
    if compares:
        _tell_changed(adapter, before, split)
    learned, own_rows = before.train_conversations, getattr(before, f"{split}_conversations")
    groups, texts = {row.group for row in learned}, {row.messages for row in learned}
    held_out = {(row.group, row.messages) for row in own_rows}  # by the run's own split, which groups alone decide
    judged = getattr(data, f"{split}_conversations")
    seen = sum(
        (row.group in groups or row.messages in texts) and (row.group, row.messages) not in held_out for row in judged
    )
    if seen:
        options = " and ".join(f"--data.{name}" for name, value in given.items() if own.get(name) != value)
        raise QweftError(
            f"the adapter was trained on {seen:,} of the {len(judged):,} {split} rows, or on others of their groups, "
            f"as {options or 'the options for data'} split its run's data in another way; leave that out, or give "
            "other data with --data.source"
        )


def _tell_changed(adapter: Path, data: Data, split: str) -> None:
    """Tell on the terminal that the rows that are judged are no longer those that the run held out."""
    before = recorded_rows(adapter, split)
    if before is not None and before != data.report.parts[split].fingerprint:
        tell(
            f"note: the rows of {data.config.source} are not those of the run (the data, the tokenizer or qweft itself "
            "have changed since), so the adapter may have been trained on some that it is judged on"
        )


def _places(config: DataConfig, part: str) -> list[str]:
    """Return the sources of the rows of a part."""
    place = config.source_of(part)
    return [each.source for each in config.training_sources] if place == config.source else [place]
